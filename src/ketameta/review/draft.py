"""The tables of a batch while an import fills them: same rows once, contradictions refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ketameta.errors import ImportAccountError
from ketameta.review.batch_files import Cells
from ketameta.schema import TABLES

Key = tuple[str, ...]
#: Cells of provenance, which may differ between two reports of the same row.
_PROVENANCE = frozenset({"locator", "note", "notes", "source_url", "support"})


@dataclass(slots=True)
class Draft:
    """Rows by table and key, with the line of the source that each came from first."""

    rows: dict[str, dict[Key, dict[str, str]]] = field(default_factory=dict)
    lines: dict[tuple[str, Key], int] = field(default_factory=dict)

    def find(self, table: str, cells: Cells) -> dict[str, str] | None:
        """Return the row with the key of ``cells``, if there is one."""
        return self.rows.get(table, {}).get(key_of(table, cells))

    def differing(self, table: str, cells: Cells) -> str:
        """Return the first column in which a row with the same key differs, or nothing."""
        row = self.find(table, cells)
        if row is None:
            return ""
        names = (*cells, *(name for name in row if name not in cells))
        for name in names:
            if name not in _PROVENANCE and row.get(name, "") != cells.get(name, ""):
                return name
        return ""

    def add(self, table: str, cells: Cells, line: int) -> str:
        """Add a row unless it is there, and return ``table: key`` for the report.

        Raises
        ------
        ImportAccountError
            If another row with the same key is there: one of the two would be lost.
        """
        key = key_of(table, cells)
        rows = self.rows.setdefault(table, {})
        if key not in rows:
            rows[key] = {name: cell for name, cell in cells.items() if cell != ""}
            self.lines[table, key] = line
        elif column := self.differing(table, cells):
            raise ImportAccountError(
                f"line {line} would be lost: {row_name(table, cells)} stands in line "
                f"{self.lines[table, key]} with another {column}. This is a defect of ketameta; "
                "please report it with the file"
            )
        return row_name(table, cells)

    def line(self, table: str, cells: Cells) -> int:
        """Return the line of the source that the row with this key came from."""
        return self.lines[table, key_of(table, cells)]

    def tables(self) -> Mapping[str, tuple[Cells, ...]]:
        """Return the rows of every table."""
        return {table: tuple(rows.values()) for table, rows in self.rows.items()}


def row_name(table: str, cells: Cells) -> str:
    """Return a row as reports name it: its table and its key."""
    return f"{table}: {', '.join(part for part in key_of(table, cells) if part)}"


def key_of(table: str, cells: Cells) -> Key:
    """Return the key of a row as texts."""
    return tuple(cells.get(name, "") for name in TABLES[table].key)
