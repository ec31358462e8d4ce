"""Every column of every table, once: type, unit, allowed words, meaning.

Feeds the checks, the data dictionary and the empty templates. Names, keys and order of the tables
are the same in every project; which words and moderators they hold, a project declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ketameta.project import Project
from ketameta.schema_batch import batch_tables, subgroup_words
from ketameta.schema_columns import (
    STUDY_ID_PATTERN,
    WORD_PATTERN,
    Column,
    ColumnType,
    Table,
)
from ketameta.schema_shared import shared_tables

__all__ = [
    "BATCH_TABLES",
    "SHARED_TABLES",
    "STUDY_ID_PATTERN",
    "TABLES",
    "WORD_PATTERN",
    "Column",
    "ColumnType",
    "Schema",
    "Table",
    "schema_of",
]


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one project.

    Attributes
    ----------
    batch : tuple of Table
        Tables of a batch folder, in reading order.
    shared : tuple of Table
        Tables that stand once, in ``data/``.
    subgroups : mapping of str to tuple of str
        Keys of a subgroup, with the words each may have; none where any plain word will do.
    """

    batch: tuple[Table, ...]
    shared: tuple[Table, ...]
    subgroups: Mapping[str, tuple[str, ...]]

    @property
    def tables(self) -> Mapping[str, Table]:
        """Every table by name."""
        return {table.name: table for table in (*self.batch, *self.shared)}

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]


def schema_of(project: Project) -> Schema:
    """Return the tables with the words and moderators that a project declares."""
    return Schema(batch_tables(project), shared_tables(project), subgroup_words(project))


_PLAIN = schema_of(Project.model_construct())
#: Names, keys and order of the tables, which no project changes; their columns are those of a
#: project without a topic.
BATCH_TABLES, SHARED_TABLES, TABLES = _PLAIN.batch, _PLAIN.shared, _PLAIN.tables
