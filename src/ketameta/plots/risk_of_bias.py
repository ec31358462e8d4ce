"""Risk of bias as traffic lights: one row per study, one column per domain, gaps shown as gaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ketameta.errors import UsageError, did_you_mean
from ketameta.formatting import plural
from ketameta.plots import look
from ketameta.plots.frame import centred, table
from ketameta.plots.look import BODY, MARGIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME, _COLUMN, _ROW, _HEAD = 170.0, 36.0, 15.0, 18.0
_OVERALL = "overall"
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
            key = (item.study, item.outcome, item.tool, item.domain)
            if key in seen:
                raise UsageError(f"{where} judges {item.domain!r} of {item.study!r} a second time")
            seen.add(key)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Tool and domain of each column, overall last."""
        found = dict.fromkeys((item.tool, item.domain) for item in self.judgements)
        return sorted(found, key=lambda column: column[1] == _OVERALL) or [("", _OVERALL)]

    @property
    def silent(self) -> list[str]:
        """Studies without a judgement."""
        judged = {item.study for item in self.judgements}
        return [study for study in self.studies if study not in judged]

    def rows(self) -> list[tuple[str, list[str]]]:
        """Return the name and the judgements of each row: a study, or one outcome of it."""
        found: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
        for study in self.studies:
            for item in self.judgements:
                if item.study == study:
                    row = found.setdefault((study, item.outcome), {})
                    row[item.tool, item.domain] = item.judgement
        named = [
            (f"{study}: {outcome.replace('_', ' ')}" if outcome else study, judged)
            for (study, outcome), judged in found.items()
        ]
        if len(self.silent) > MOST_ALONE:
            other = "other studies" if named else "studies"
            named.append((f"{len(self.silent)} {other}: not assessed", {}))
        else:
            named += [(study, {}) for study in self.silent]
        return [
            (name, [judged.get(column, "not_assessed") for column in self.columns])
            for name, judged in named
        ]


def column_heads(data: RiskOfBias) -> list[str]:
    """Return the short names of the columns: D1, D2, ..., Overall."""
    return [
        "Overall" if domain == _OVERALL else f"D{place}"
        for place, (_, domain) in enumerate(data.columns, start=1)
    ]


@look.themed
def plot(data: RiskOfBias, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw the judgements of all included studies and return the axes, in points.

    Returns
    -------
    Axes
        Parts: ``study_name``, ``domain``, ``light``, ``sign``, ``not_assessed``.
    """
    rows, heads = data.rows(), column_heads(data)
    width = max(look.PLOT_WIDTH, 2 * MARGIN + _NAME + _COLUMN * len(heads))
    pen = table(ax, width, _HEAD + _ROW * len(rows), title=data.title if title is None else title,
                notes=[_key(data), _legend()])  # fmt: skip
    middles = [MARGIN + _NAME + (place + 0.5) * _COLUMN for place in range(len(heads))]
    pen.text("head", MARGIN + 2.0, 8.0, "Study", bold=True)
    for head, x in zip(heads, middles, strict=True):
        pen.text("domain", x, 8.0, head, align="center", bold=True)
    y = _HEAD - 4.0
    pen.line("head_rule", [(MARGIN, y), (width - MARGIN, y)], width=look.MEDIUM)
    lights = []
    for index, (name, judged) in enumerate(rows):
        middle = _HEAD + (index + 0.5) * _ROW
        if index % 2 == 0:
            low, high = middle - _ROW / 2, middle + _ROW / 2
            pen.box("row_band", MARGIN, low, width - MARGIN, high, look.BAND)
        label = look.shorten(look.clean(name), _NAME - 8.0, BODY)
        pen.text("study_name", MARGIN + 2.0, centred(middle, BODY), label)
        lights += [(x, middle, judgement) for x, judgement in zip(middles, judged, strict=True)]
    pen.lights(lights, 10.4)
    return pen.ax


def _key(data: RiskOfBias) -> str:
    """Return what the columns are."""
    tools = {tool for tool, _ in data.columns}
    named = []
    for head, (tool, domain) in zip(column_heads(data), data.columns, strict=True):
        if domain != _OVERALL:
            which = f" ({_TOOLS.get(tool, tool)})" if len(tools) > 1 else ""
            named.append(f"{head}: {domain.replace('_', ' ')}{which}")
    first = f"{_TOOLS.get(next(iter(tools)), '')}. " if len(tools) == 1 and "" not in tools else ""
    return f"{first}{'; '.join(named)}." if named else ""


def _legend() -> str:
    parts = [f"{sign} {words}" for sign, _, _, words in look.RISK_OF_BIAS.values() if sign]
    return f"{'; '.join(parts)}; dashed circle: not assessed."


def describe(data: RiskOfBias) -> str:
    """Return the lights in sentences, in numbers."""
    judged = len(data.studies) - len(data.silent)
    sentences = [
        f"Risk of bias: {data.title}.",
        f"{judged} of {plural(len(data.studies), 'study', 'studies')} judged.",
    ]
    overall = Counter(item.judgement for item in data.judgements if item.domain == _OVERALL)
    if overall:
        listed = ", ".join(
            f"{words} {overall[name]}"
            for name, (_, _, _, words) in look.RISK_OF_BIAS.items()
            if overall[name]
        )
        sentences.append(f"Overall judgements: {listed}.")
    if data.silent:
        sentences.append(f"Not assessed: {', '.join(data.silent)}.")
    return " ".join(sentences)
