"""Places the rows of a forest plot below each other and their marks along the axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ketameta.figures import style
from ketameta.figures.axis import Axis
from ketameta.figures.forest_columns import (
    INDENT,
    ForestColumn,
    Spanner,
    column_named,
    label_extras,
)
from ketameta.figures.forest_rows import ForestContent, RowContent
from ketameta.figures.forest_value import ForestRow
from ketameta.figures.marks import block_height
from ketameta.figures.text import text_width, wrap_text

#: Height of a row with one line.
ROW = 12.6
#: Extra space above a subgroup's header and above the overall result.
GROUP_SPACE = 5.0
#: Rows taller than this in all get the axis above them too.
REPEAT_AXIS_BEYOND = 430.0
#: Room for ticks and their labels.
TICK_SPACE = 13.0


def place_rows(
    content: ForestContent,
    columns: Sequence[ForestColumn],
    spanners: Sequence[Spanner],
    axis: Axis | None,
    top: float,
    looked_for: str,
) -> tuple[tuple[ForestRow, ...], float, float, bool]:
    """Return the placed rows, where they end, where the body starts, and whether they are many."""
    study, plot = column_named(columns, "study"), column_named(columns, "plot")
    titled = any(row.kind == "subgroup_header" for row in content.rows)
    heaviest: dict[int | None, float] = {}
    for row in content.rows:
        if row.kind == "study":
            pool = None if content.one_pool else row.group
            heaviest[pool] = max(heaviest.get(pool, 0.0), row.weight or 0.0)
    comparison = next((column for column in columns if column.name == "comparison"), None)
    sized = [_sized(row, study, plot, comparison, titled, looked_for) for row in content.rows[1:]]
    total = sum(size.space + size.height for size in sized)
    repeated = axis is not None and total > REPEAT_AXIS_BEYOND
    header_lines = max(
        max(len(column.header) for column in columns),
        max((len(item.lines) + 1 for item in spanners), default=1),
    )
    header_height = block_height(header_lines, style.BODY_SIZE) + 4.0
    header = content.rows[0]
    bare = any(row.kind == "empty" for row in content.rows) and not titled
    if bare:
        header_height = 2.0
    lines = () if bare else (header.label,)
    rows = [ForestRow("header", header.label, lines, (), (), top, header_height, {})]
    y = top + header_height + (TICK_SPACE + 4.0 if repeated else 0.0) + 2.0
    body_top = y
    for row, size in zip(content.rows[1:], sized, strict=True):
        y += size.space if y > body_top else 0.0
        most = heaviest.get(None if content.one_pool else row.group, 0.0)
        rows.append(_placed(row, size, y, axis, most, titled))
        y += size.height
    return tuple(rows), y, body_top, repeated


@dataclass(frozen=True, slots=True)
class _Size:
    """The printed lines of a row, its height, and the space above it."""

    label: tuple[str, ...]
    remarks: tuple[str, ...]
    comparison: tuple[str, ...]
    tag_inline: bool
    height: float
    space: float


def _sized(
    row: RowContent,
    study: ForestColumn,
    plot: ForestColumn,
    comparison: ForestColumn | None,
    titled: bool,
    looked_for: str,
) -> _Size:
    indent = INDENT if titled and row.kind not in ("subgroup_header", "overall") else 0.0
    block = plot.left - study.left - 4.0 - indent
    size, bold, most = style.BODY_SIZE, False, 3
    room = block
    if row.kind == "study":
        room = study.right - study.left - indent
    elif row.kind in ("heterogeneity", "subgroup_test", "subgroup_note", "single", "note"):
        size = style.SMALL_SIZE
    elif row.kind in ("overall", "subgroup_pool", "subgroup_header"):
        bold = True
        if row.cells.keys() & {"treatment", "control"}:
            room = (comparison or study).right - study.left - indent
        elif row.kind == "subgroup_header":
            room = plot.right - study.left
    elif row.kind == "empty" and not titled:
        words = wrap_text(looked_for, 0.8 * (plot.right - study.left), size)
        return _Size((row.label,), (), (), True, 42.0 + block_height(len(words), size), 0.0)
    lines = wrap_text(row.label, room, size, bold=bold, most=most)
    tag_inline = not row.tag or text_width(lines[-1], size) + label_extras(row) <= room + 1e-6
    remark = row.remark if tag_inline else "\u00a0· ".join(filter(None, (row.tag, row.remark)))
    remarks = wrap_text(remark, room, style.SMALL_SIZE, most=3)
    beside: tuple[str, ...] = ()
    if comparison is not None and "comparison" in row.cells:
        wide = comparison.right - comparison.left
        beside = wrap_text(row.cells["comparison"][0], wide, style.BODY_SIZE, most=3)
    height = max(
        ROW if size == style.BODY_SIZE else 10.0,
        block_height(len(lines), size) + block_height(len(remarks), style.SMALL_SIZE) + 3.4,
        block_height(len(beside), style.BODY_SIZE) + 3.4,
    )
    space = GROUP_SPACE if row.kind in ("subgroup_header", "overall", "subgroup_test") else 0.0
    return _Size(lines, remarks, beside, tag_inline, height, space)


def _placed(
    row: RowContent,
    size: _Size,
    top: float,
    axis: Axis | None,
    heaviest: float,
    titled: bool,
) -> ForestRow:
    x = x_low = x_high = None
    clipped_left = clipped_right = False
    if axis is not None and row.estimate is not None and axis.holds(row.estimate):
        x = axis.position(row.estimate)
    if axis is not None and row.low is not None and row.high is not None:
        x_low, side_low = axis.clipped_position(row.low)
        x_high, side_high = axis.clipped_position(row.high)
        clipped_left, clipped_right = side_low < 0, side_high > 0
    indent = INDENT if titled and row.kind not in ("subgroup_header", "overall") else 0.0
    return ForestRow(
        kind=row.kind,
        label=row.label,
        label_lines=size.label,
        remark_lines=size.remarks,
        comparison_lines=size.comparison,
        top=top,
        height=size.height,
        cells=row.cells,
        estimate=row.estimate,
        low=row.low,
        high=row.high,
        x=x,
        x_low=x_low,
        x_high=x_high,
        clipped_left=clipped_left,
        clipped_right=clipped_right,
        area=marker_area(row.weight, heaviest) if row.kind == "study" else 0.0,
        weight=row.weight,
        excluded=row.excluded,
        tag=row.tag,
        tag_inline=size.tag_inline,
        marker=row.marker,
        study_id=row.study_id,
        indent=indent,
        risk_of_bias=row.risk_of_bias,
        group=row.group,
    )


def marker_area(weight: float | None, heaviest: float) -> float:
    """Return the area of a trial's square in square points.

    Proportional to ``weight`` with the heaviest trial at ``style.LARGEST_SQUARE`` squared, and
    never below ``style.SMALLEST_SQUARE`` squared; a medium size where there is no weight.
    """
    if weight is None or heaviest <= 0:
        return style.UNWEIGHTED_SQUARE**2
    area = style.LARGEST_SQUARE**2 * weight / heaviest
    return max(area, style.SMALLEST_SQUARE**2)
