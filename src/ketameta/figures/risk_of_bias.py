"""Risk of bias as traffic lights: one row per study, one column per domain, gaps shown as gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.errors import UsageError, did_you_mean
from ketameta.figures import style
from ketameta.figures.frame import PlotLayout, PlotPoint
from ketameta.figures.marks import (
    Area,
    Disc,
    Line,
    Mark,
    Text,
    block_height,
    centred_baseline,
    footnote_marks,
    rectangle,
    text_block,
    wrap_notes,
)
from ketameta.figures.text import clean_text, shorten_text, wrap_text
from ketameta.numberformat import plural

_NAME = 170.0
_COLUMN = 34.0
_ROW = 15.0
_HEAD = 18.0
_RADIUS = 5.0
_OVERALL = "overall"
_NOT_ASSESSED = "not_assessed"
#: More studies without any judgement than this share one row.
_MOST_ALONE = 12
_TOOLS = {"rob2": "RoB 2", "rob1": "RoB 1", "robins_i": "ROBINS-I"}

#: A row: its name, and the judgement per column.
_Row = tuple[str, dict[str, str]]


def lay_out_risk_of_bias(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PLOT_WIDTH
) -> PlotLayout:
    """Lay out the judgements of all included studies; what was not judged is said.

    Parameters
    ----------
    data : mapping
        ``studies`` (names of all included), ``judgements`` (each ``study, outcome, tool, domain,
        judgement``; ``outcome`` empty for the whole trial, ``domain`` may be ``overall``),
        ``title``, ``note``.
    title : str, optional
    width : float
        Of the page, in points; more where the domains need it.

    Returns
    -------
    PlotLayout
        Parts: ``study_name``, ``domain``, ``light``, ``sign``, ``not_assessed``.

    Raises
    ------
    UsageError
        If there is no study, or a judgement is unknown, given twice, or of another study.
    """
    studies = [clean_text(str(name)) for name in data.get("studies") or ()]
    if not studies:
        raise UsageError("data['studies'] is empty; name the included studies")
    columns, rows = _table(data.get("judgements") or (), studies)
    tools = {tool for tool, _ in columns}
    words = clean_text(str(title if title is not None else data.get("title") or "Risk of bias"))
    width = max(width, 2 * style.MARGIN + _NAME + _COLUMN * len(columns))
    inner = width - 2 * style.MARGIN
    title_lines = wrap_text(words, 0.97 * inner, style.TITLE_SIZE, bold=True)
    top = style.MARGIN + block_height(len(title_lines), style.TITLE_SIZE) + 6.0
    first = top + _HEAD
    marks: list[Mark] = list(
        text_block(
            "title", title_lines, style.MARGIN, style.MARGIN, size=style.TITLE_SIZE, bold=True
        )
    )
    marks.extend(_heads(columns, top, width))
    points: list[PlotPoint] = []
    for index, (name, judged) in enumerate(rows):
        middle = first + (index + 0.5) * _ROW
        if index % 2 == 0:
            corners = rectangle(
                style.MARGIN, middle - _ROW / 2, width - style.MARGIN, middle + _ROW / 2
            )
            marks.append(Area("row_band", corners, fill=style.BAND))
        label = shorten_text(name, _NAME - 8.0, style.BODY_SIZE)
        baseline = centred_baseline(middle, style.BODY_SIZE)
        marks.append(Text("study_name", style.MARGIN + 2.0, baseline, label))
        for place, column in enumerate(columns):
            at = (_column_middle(place), middle)
            judgement = judged.get("/".join(column), _NOT_ASSESSED)
            marks.extend(_light(judgement, at))
            points.append(PlotPoint(name, place, index, at, group=judgement))
    y = first + _ROW * len(rows) + 8.0
    notes = wrap_notes((_key(columns, tools), _legend(), str(data.get("note") or "")), inner)
    foot, y = footnote_marks(notes, style.MARGIN, y)
    marks.extend(foot)
    return PlotLayout(
        "risk_of_bias",
        width,
        y + style.MARGIN,
        words,
        None,
        tuple(points),
        tuple(marks),
        tuple(_sentences(words, data.get("judgements") or (), studies)),
    )


def _table(
    judgements: Sequence[Mapping[str, Any]], studies: Sequence[str]
) -> tuple[list[tuple[str, str]], list[_Row]]:
    """Return the columns (tool and domain, overall last) and a row per study and outcome."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    columns: dict[tuple[str, str], None] = {}
    for position, item in enumerate(judgements):
        study, outcome = clean_text(str(item["study"])), str(item.get("outcome") or "")
        judgement = str(item["judgement"])
        where = f"data['judgements'][{position}]"
        if study not in studies:
            hint = did_you_mean(study, studies)
            raise UsageError(f"{where} is of {study!r}, not an included study{hint}")
        if judgement not in style.RISK_OF_BIAS:
            raise UsageError(
                f"{where} ({study}) is {judgement!r}; choose one of {', '.join(style.RISK_OF_BIAS)}"
            )
        column = (str(item.get("tool") or ""), str(item["domain"]))
        columns[column] = None
        row = found.setdefault((study, outcome), {})
        if "/".join(column) in row:
            raise UsageError(f"{where} judges {column[1]!r} of {study!r} a second time")
        row["/".join(column)] = judgement
    ordered = sorted(columns, key=lambda column: column[1] == _OVERALL) or [("", _OVERALL)]
    rows: list[_Row] = []
    for study in studies:
        for (name, outcome), judged in found.items():
            if name == study:
                rows.append((f"{study}: {outcome.replace('_', ' ')}" if outcome else study, judged))
    judged_studies = {name for name, _ in found}
    silent = [study for study in studies if study not in judged_studies]
    if len(silent) > _MOST_ALONE:
        other = "other studies" if rows else "studies"
        rows.append((f"{len(silent)} {other}: not assessed", {}))
    else:
        rows += [(study, {}) for study in silent]
    return ordered, rows


def _column_middle(place: int) -> float:
    return style.MARGIN + _NAME + (place + 0.5) * _COLUMN


def _heads(columns: Sequence[tuple[str, str]], top: float, width: float) -> list[Mark]:
    marks: list[Mark] = [
        Text("head", style.MARGIN + 2.0, top + 8.0, "Study", style.BODY_SIZE, "left", True)
    ]
    for place, column in enumerate(columns):
        text = _short(place, column)
        at = _column_middle(place)
        marks.append(Text("domain", at, top + 8.0, text, style.BODY_SIZE, "center", True))
    y = top + _HEAD - 4.0
    marks.append(Line("head_rule", ((style.MARGIN, y), (width - style.MARGIN, y)), style.MEDIUM))
    return marks


def _short(place: int, column: tuple[str, str]) -> str:
    return "Overall" if column[1] == _OVERALL else f"D{place + 1}"


def _light(judgement: str, at: tuple[float, float]) -> list[Mark]:
    """Return the light of one judgement: colour, and a sign that needs no colour."""
    sign, fill, ink, _ = style.RISK_OF_BIAS[judgement]
    if judgement == _NOT_ASSESSED:
        disc = Disc("not_assessed", at, _RADIUS, fill, style.LIGHT, 0.6, dash=(1.6, 1.6))
        return [disc]
    baseline = centred_baseline(at[1], style.BODY_SIZE)
    return [
        Disc("light", at, _RADIUS, fill, style.GREY, 0.4),
        Text("sign", at[0], baseline, sign, style.BODY_SIZE, "center", True, colour=ink),
    ]


def _key(columns: Sequence[tuple[str, str]], tools: set[str]) -> str:
    """Return what the columns are."""
    named = []
    for place, (tool, domain) in enumerate(columns):
        if domain == _OVERALL:
            continue
        which = f" ({_TOOLS.get(tool, tool)})" if len(tools) > 1 else ""
        named.append(f"{_short(place, (tool, domain))}: {domain.replace('_', ' ')}{which}")
    head = f"{_TOOLS.get(next(iter(tools)), '')}. " if len(tools) == 1 and "" not in tools else ""
    return f"{head}{'; '.join(named)}." if named else ""


def _legend() -> str:
    parts = [f"{sign} {words}" for sign, _, _, words in style.RISK_OF_BIAS.values() if sign]
    return f"{'; '.join(parts)}; dashed circle: not assessed."


def _sentences(
    title: str, judgements: Sequence[Mapping[str, Any]], studies: Sequence[str]
) -> list[str]:
    judged = {clean_text(str(item["study"])) for item in judgements}
    silent = [study for study in studies if study not in judged]
    sentences = [
        f"Risk of bias: {title}.",
        f"{len(studies) - len(silent)} of {plural(len(studies), 'study', 'studies')} judged.",
    ]
    overall = Counter(
        str(item["judgement"]) for item in judgements if str(item["domain"]) == _OVERALL
    )
    if overall:
        listed = ", ".join(
            f"{words} {overall[name]}"
            for name, (_, _, _, words) in style.RISK_OF_BIAS.items()
            if overall[name]
        )
        sentences.append(f"Overall judgements: {listed}.")
    if silent:
        sentences.append(f"Not assessed: {', '.join(silent)}.")
    return sentences
