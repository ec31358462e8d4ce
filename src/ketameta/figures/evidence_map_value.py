"""The laid-out evidence map as a frozen value. Places and draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ketameta.models.results import plain
from ketameta.numberformat import plural

DIRECT_HEADING = "Direct evidence"
INDIRECT_HEADING = "Indirect evidence"


@dataclass(frozen=True, slots=True)
class MapCell:
    """One outcome and intervention, placed.

    Attributes
    ----------
    row, column : str
    trials : int
        Zero is a value like any other.
    participants : float or None
    direct : bool
        Whether the people of the question were studied.
    x, y : float
        Centre of the mark, in points.
    radius : float
        Area in proportion to ``trials``, down to the smallest that holds a number.
    """

    row: str
    column: str
    trials: int
    participants: float | None
    direct: bool
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class MapRow:
    """A line of the map: a heading, or an outcome with its cells from left to right."""

    kind: str
    label_lines: tuple[str, ...]
    label: str
    direct: bool
    top: float
    height: float
    cells: tuple[MapCell, ...] = ()


@dataclass(frozen=True, slots=True)
class EvidenceMapLayout:
    """An evidence map as data; places are in points from the top left.

    Attributes
    ----------
    width, height : float
    title_lines : tuple of str
    columns : tuple of (str, tuple of str, float)
        Label, printed lines and centre of each intervention.
    header_bottom, label_right : float
        Where the column headings end and the row labels end.
    rows : tuple of MapRow
    footnotes : tuple of tuple of str
    """

    width: float
    height: float
    title: str
    title_lines: tuple[str, ...]
    columns: tuple[tuple[str, tuple[str, ...], float], ...]
    header_bottom: float
    label_right: float
    rows: tuple[MapRow, ...]
    footnotes: tuple[tuple[str, ...], ...]

    @property
    def cells(self) -> tuple[MapCell, ...]:
        """All cells, row by row."""
        return tuple(cell for row in self.rows for cell in row.cells)

    def describe(self) -> str:
        """Return the map in sentences, in numbers."""
        cells = self.cells
        empty = sum(cell.trials == 0 for cell in cells)
        outcomes = plural(sum(row.kind == "outcome" for row in self.rows), "outcome")
        sentences = [
            f"Evidence map{f': {self.title}' if self.title else ''}.",
            f"{outcomes} by {plural(len(self.columns), 'intervention')};"
            f" {empty} of {plural(len(cells), 'cell')} have no trial.",
        ]
        for direct, words in ((True, DIRECT_HEADING), (False, INDIRECT_HEADING)):
            for column, _, _ in self.columns:
                here = [c for c in cells if c.column == column and c.direct == direct]
                if not here:
                    continue
                most = max(here, key=lambda cell: cell.trials)
                if most.trials == 0:
                    sentences.append(f"{words}, {column}: no trial for any outcome.")
                else:
                    none = sum(cell.trials == 0 for cell in here)
                    rest = f"; none for {none} of {len(here)} outcomes" if none else ""
                    sentences.append(
                        f"{words}, {column}: at most {plural(most.trials, 'trial')}"
                        f" ({most.row}){rest}."
                    )
        return " ".join(sentences)

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as JSON-ready Python."""
        return dict(plain(self))
