"""Lays out a forest plot as plain data: rows, columns, axis and words, all placed in points.

Draws nothing and imports no drawing library; :mod:`ketameta.figures.forest` draws the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from ketameta.figures import style
from ketameta.figures.axis import Axis, Scale, choose_range, make_axis
from ketameta.figures.forest_columns import ForestColumn, column_named, place_columns
from ketameta.figures.forest_place import TICK_SPACE, place_rows
from ketameta.figures.forest_reader import read_result
from ketameta.figures.forest_rows import ForestContent, stack_comparisons
from ketameta.figures.forest_value import Direction, ForestLayout
from ketameta.figures.forest_words import forest_footnotes
from ketameta.figures.marks import block_height
from ketameta.figures.numbers import finite
from ketameta.figures.text import clean_text, text_width, wrap_text

#: How near the evidence is to the question, under the title.
DIRECTNESS = {
    "direct": "Direct evidence: people with ADHD",
    "indirect": "Indirect evidence: another condition",
    "context": "Context: the usual medicines",
}
#: A footnote longer than this ends in an ellipsis; the whole text is in the result.
FOOTNOTE_LINES = 3
#: Half the axis where there is nothing to plot, by measure; a factor of ten for ratios.
_UNIT = {"RD": 0.5, "MD": 5.0}
_ARROW_SPACE = 15.0


def lay_out_forest(
    result: Mapping[str, Any],
    *,
    width_mm: float = 180.0,
    axis_range: tuple[float, float] | None = None,
    minimal_important_difference: float | None = None,
    show_means: bool = False,
    group_predictions: bool | None = None,
    show_caveats: bool = True,
) -> ForestLayout:
    """Lay out the forest plot of one analysis result.

    Parameters
    ----------
    result : mapping
        ``name, title, measure, measure_label, is_ratio, null, favours`` (words for the left and
        the right side), ``level, groups, pooled, subgroup_test, looked_for, caveats``. Each group
        has ``label`` (None where there are no subgroups), ``rows`` and ``pooled``; each row
        ``study_id, label, intervention, comparator, n_treatment, n_control, events_treatment,
        events_control, estimate, ci_low, ci_high, weight`` (share of one) and, where wanted,
        ``mean_*, sd_*, note, excluded, reason, tag`` or ``direct``, ``risk_of_bias`` (domain ->
        judgement). Estimates and intervals of ratios are logarithms. A missing key is the same
        as None. ``risk_of_bias_domains`` (list of code and words) orders and names the domains.
    width_mm : float
        Page width; 180 is a full journal page.
    axis_range : (float, float), optional
        Ends of the axis in displayed units; chosen from the data when not given.
    minimal_important_difference : float, optional
        Draws a dashed line there, in displayed units; ``result["important_difference"]`` when not
        given.
    show_means : bool
        Add mean and standard deviation per arm where the result has them.
    group_predictions : bool, optional
        Prediction intervals under subgroups; by default only where there is no overall one.
    show_caveats : bool
        Print the messages of ``result["caveats"]`` under the figure.

    Returns
    -------
    ForestLayout

    Raises
    ------
    UsageError
        If the result has no list of groups, or ``axis_range`` is empty or not positive for a
        ratio.

    Notes
    -----
    Marker areas are proportional to the weights, the heaviest trial at the largest size; areas
    below the smallest visible one are drawn at that size. Intervals that would squeeze the rest
    are cut at the axis and carry an arrow.

    Examples
    --------
    >>> row = {"label": "Alder 2014", "estimate": -0.5, "ci_low": -1.1, "ci_high": 0.1}
    >>> layout = lay_out_forest({"measure": "SMD", "groups": [{"label": None, "rows": [row]}]})
    >>> [row.kind for row in layout.rows]
    ['header', 'study', 'single']
    """
    content = read_result(result, show_means=show_means, group_predictions=group_predictions)
    level = float(result.get("level") or 0.95)
    measure = str(result.get("measure") or "")
    measure_label = clean_text(str(result.get("measure_label") or measure or "Effect"))
    null = _null(result, content.is_ratio)
    important = finite(
        minimal_important_difference
        if minimal_important_difference is not None
        else result.get("important_difference")
    )
    plot_header = f"{measure_label} (log scale)" if content.is_ratio else measure_label
    page = width_mm * style.POINTS_PER_MM
    place = partial(
        place_columns, width=page, level=level, measure=measure, plot_header=plot_header
    )
    width, columns, spanners = place(content)
    if width > page and any("comparison" in row.cells for row in content.rows):
        content = stack_comparisons(content)
        width, columns, spanners = place(content)
    title = clean_text(str(result.get("title") or result.get("name") or ""))
    inner = width - 2 * style.MARGIN
    title_lines = wrap_text(title, inner, style.TITLE_SIZE, bold=True)
    subtitle_lines = wrap_text(_subtitle(result), inner, style.SMALL_SIZE)
    top = style.MARGIN + block_height(len(title_lines), style.TITLE_SIZE)
    top += block_height(len(subtitle_lines), style.SMALL_SIZE) + (4.0 if title_lines else 0.0)
    axis = _axis(content, measure, column_named(columns, "plot"), null, important, axis_range)
    looked_for = clean_text(str(result.get("looked_for") or ""))
    rows, bottom, body_top, repeated = place_rows(content, columns, spanners, axis, top, looked_for)
    words = _direction_words(result)
    directions = _directions(words, axis, null, width)
    axis_y = bottom + 5.0
    after = axis_y + TICK_SPACE
    deepest = max((len(item.lines) for item in directions), default=0)
    after += block_height(deepest, style.BODY_SIZE) + (3.0 if deepest else 0.0)
    if axis is None:
        after = bottom + 4.0
    pooled = next((row.estimate for row in rows if row.kind == "overall"), None)
    if axis is not None and pooled is not None and not axis.holds(pooled):
        pooled = None
    footnotes = tuple(
        wrap_text(note, 0.97 * inner, style.SMALL_SIZE, most=FOOTNOTE_LINES)
        for note in forest_footnotes(
            result, content, rows, level=level, important=important, show_caveats=show_caveats
        )
    )
    foot_lines = sum(len(lines) for lines in footnotes)
    footnote_top = after + 6.0
    height = footnote_top + block_height(foot_lines, style.SMALL_SIZE) + style.MARGIN
    return ForestLayout(
        width=width,
        height=height,
        title=title,
        title_lines=title_lines,
        subtitle_lines=subtitle_lines,
        columns=columns,
        spanners=spanners,
        rows=rows,
        axis=axis,
        axis_y=axis_y,
        axis_repeated=repeated,
        body_top=body_top,
        null=null,
        minimal_important_difference=important,
        pooled_estimate=pooled,
        directions=directions,
        direction_words=words,
        footnotes=footnotes,
        footnote_top=footnote_top,
        measure=measure,
        measure_label=measure_label,
        is_ratio=content.is_ratio,
        digits=content.digits,
        level=level,
        k=content.k,
        participants=content.participants,
        looked_for=looked_for,
        domains=content.domains,
        description=clean_text(str(result.get("description") or "Forest plot")),
        rows_are_pools=content.rows_are_pools,
    )


def _null(result: Mapping[str, Any], is_ratio: bool) -> float:
    """Return no effect in displayed units; a ratio's logarithm of 1 is accepted too."""
    null = finite(result.get("null"))
    if null is None:
        return 1.0 if is_ratio else 0.0
    return math.exp(null) if is_ratio and null <= 0 else null


def _subtitle(result: Mapping[str, Any]) -> str:
    words = [str(result.get("subtitle") or ""), DIRECTNESS.get(str(result.get("directness")), "")]
    return " · ".join(clean_text(word) for word in words if word)


def _direction_words(result: Mapping[str, Any]) -> tuple[str, str]:
    favours = result.get("favours") or ("", "")
    left, right = (clean_text(str(words or "")) for words in favours)
    return left, right


def _axis(
    content: ForestContent,
    measure: str,
    plot: ForestColumn,
    null: float,
    important: float | None,
    axis_range: tuple[float, float] | None,
) -> Axis | None:
    marked = [row for row in content.rows if row.estimate is not None or row.low is not None]
    if not marked and axis_range is None:
        return None
    scale: Scale = "log" if content.is_ratio else "linear"
    if axis_range is None:
        estimates = [row.estimate for row in marked if row.estimate is not None]
        bounds = [
            (row.low, row.high)
            for row in marked
            if row.low is not None and row.high is not None and row.kind != "prediction"
        ]
        bounds += [
            (row.low, row.high)
            for row in marked
            if row.kind == "prediction" and row.low is not None and row.high is not None
        ]
        extra = [important] if important is not None else []
        unit = math.log(10.0) if content.is_ratio else _UNIT.get(measure, 1.0)
        axis_range = choose_range(scale, estimates, bounds, null=null, extra=extra, unit=unit)
    return make_axis(scale, *axis_range, plot.left, plot.right, most=7)


def _directions(
    words: tuple[str, str], axis: Axis | None, null: float, width: float
) -> tuple[Direction, ...]:
    """Place the words beside no effect; long ones wrap, and never leave the page."""
    if axis is None or not any(words):
        return ()
    x, _ = axis.clipped_position(null)
    placed = []
    for side, text in zip((-1, 1), words, strict=True):
        if not text:
            continue
        room = (x - style.MARGIN if side < 0 else width - style.MARGIN - x) - _ARROW_SPACE - 5.0
        half = (x - axis.start if side < 0 else axis.stop - x) - _ARROW_SPACE - 5.0
        longest_word = max(text_width(word, style.BODY_SIZE) for word in text.split(" "))
        wanted = min(room, max(half, longest_word, 100.0))
        lines = wrap_text(text, wanted, style.BODY_SIZE, most=3)
        placed.append(Direction(lines, x + side * 5.0, side))
    return tuple(placed)
