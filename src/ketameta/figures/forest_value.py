"""The laid-out forest plot as a frozen value. Places and draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ketameta.figures.axis import Axis
from ketameta.figures.forest_columns import ForestColumn, Spanner
from ketameta.figures.forest_rows import Cells, RowKind
from ketameta.models.results import plain


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One row of a forest plot, placed.

    Attributes
    ----------
    kind : str
        ``header``, ``subgroup_header``, ``study``, ``subgroup_pool``, ``subgroup_note``,
        ``overall``, ``prediction``, ``heterogeneity``, ``subgroup_test``, ``single`` (one trial;
        not pooled), ``note`` or ``empty`` (no eligible trials).
    label : str
        The words of the row, in full.
    label_lines, remark_lines, comparison_lines : tuple of str
        As printed: wrapped, and shortened where two lines are not enough.
    top, height : float
        Place on the page, in points from the top.
    cells : dict
        Column name -> pieces of text, as printed.
    estimate, low, high : float or None
        In displayed units (ratios, not their logarithms).
    x, x_low, x_high : float or None
        Where they fall on the page, kept inside the axis.
    clipped_left, clipped_right : bool
        Whether the interval runs past the axis on that side.
    area : float
        Of the marker, in square points; proportional to ``weight`` down to the smallest drawn.
    weight : float or None
        Share of one.
    excluded : bool
        Shown in grey and not part of any pool.
    tag, marker : str
        A word beside the label (``indirect``) and a footnote letter; ``tag_inline`` is False
        where the word is printed in the remark below for want of room.
    risk_of_bias : tuple of str
        One judgement per domain.
    group : int or None
        Position of the subgroup.
    """

    kind: RowKind
    label: str
    label_lines: tuple[str, ...]
    remark_lines: tuple[str, ...]
    comparison_lines: tuple[str, ...]
    top: float
    height: float
    cells: Cells
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    x: float | None = None
    x_low: float | None = None
    x_high: float | None = None
    clipped_left: bool = False
    clipped_right: bool = False
    area: float = 0.0
    weight: float | None = None
    excluded: bool = False
    tag: str = ""
    tag_inline: bool = True
    marker: str = ""
    study_id: str = ""
    indent: float = 0.0
    risk_of_bias: tuple[str, ...] = ()
    group: int | None = None

    @property
    def middle(self) -> float:
        """The line on which the row's interval is drawn."""
        return self.top + self.height / 2

    @property
    def bottom(self) -> float:
        """Where the row ends."""
        return self.top + self.height

    def cell(self, name: str) -> str:
        """Return the text of one column, pieces joined; empty where the row has none."""
        return " ".join(piece for piece in self.cells.get(name, ()) if piece).replace(" /", "/")


@dataclass(frozen=True, slots=True)
class Direction:
    """Direction words under one side of the axis: lines that end (or start) beside no effect."""

    lines: tuple[str, ...]
    x: float
    side: int


@dataclass(frozen=True, slots=True)
class ForestLayout:
    """A forest plot as data: what is written and marked where, in points from the top left.

    Attributes
    ----------
    width, height : float
        Size of the page in points.
    title, title_lines, subtitle_lines
        The heading, in full and as printed.
    columns, spanners
        From left to right, and the headings over several of them.
    rows : tuple of ForestRow
        Top to bottom.
    axis : Axis or None
        None where there is nothing to plot.
    axis_y : float
        Height of the axis line; ``axis_repeated`` says that it is drawn above the rows as well.
    null, minimal_important_difference, pooled_estimate : float or None
        Vertical lines, in displayed units.
    directions : tuple of Direction
        The words under the axis, left and right.
    footnotes : tuple of tuple of str
        Each as printed lines.
    measure, measure_label, level, k, participants
        What was pooled, for the text alternative.
    looked_for : str
        What was searched for, shown where there are no trials.
    domains : tuple of (str, str)
        Code and words of each risk-of-bias domain.
    description : str
        What kind of forest plot this is; ``rows_are_pools`` where rows are no single trials.
    """

    width: float
    height: float
    title: str
    title_lines: tuple[str, ...]
    subtitle_lines: tuple[str, ...]
    columns: tuple[ForestColumn, ...]
    spanners: tuple[Spanner, ...]
    rows: tuple[ForestRow, ...]
    axis: Axis | None
    axis_y: float
    axis_repeated: bool
    body_top: float
    null: float
    minimal_important_difference: float | None
    pooled_estimate: float | None
    directions: tuple[Direction, ...]
    direction_words: tuple[str, str]
    footnotes: tuple[tuple[str, ...], ...]
    footnote_top: float
    measure: str
    measure_label: str
    is_ratio: bool
    digits: int
    level: float
    k: int
    participants: float | None
    looked_for: str
    domains: tuple[tuple[str, str], ...] = ()
    description: str = "Forest plot"
    rows_are_pools: bool = False

    def column(self, name: str) -> ForestColumn | None:
        """Return the column called ``name``, or None where the plot has none."""
        return next((column for column in self.columns if column.name == name), None)

    def rows_of(self, kind: RowKind) -> tuple[ForestRow, ...]:
        """Return the rows of one kind, top to bottom."""
        return tuple(row for row in self.rows if row.kind == kind)

    def describe(self) -> str:
        """Return the figure in sentences, in numbers: its text alternative."""
        from ketameta.figures.forest_words import describe_forest

        return describe_forest(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as JSON-ready Python."""
        return dict(plain(self))
