"""What a column and a table are, and the columns that several tables share. Reads no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ketameta.project import Project

ColumnType = Literal["text", "key", "number", "integer", "words", "list", "url"]

#: ``surname_year`` with a letter where two trials share it; ``nd`` where the year is not printed.
STUDY_ID_PATTERN = r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*_(?:\d{4}|nd)[a-z]?"
#: Arms, outcomes and instruments are lower-case words joined by underscores.
WORD_PATTERN = r"[a-z0-9]+(?:_[a-z0-9]+)*"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
    kind : str
        ``text``, ``key`` (matches ``pattern``), ``number``, ``integer``, ``words`` (one of
        ``allowed``), ``list`` (keys joined by ``;``) or ``url``.
    meaning : str
        One sentence for the dictionary; also printed when a value is refused.
    required : bool
        Whether the cell must be filled.
    allowed : tuple of str
        Controlled words of a ``words`` column.
    minimum, maximum : float or None
        Closed bounds of a number.
    above : float or None
        Open lower bound of a number.
    unit : str
    pattern : str
        Regular expression that a ``key`` or ``list`` item matches in full.
    """

    name: str
    kind: ColumnType
    meaning: str
    required: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    unit: str = ""
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its file name without ``.csv``, what a row is, its key and its columns."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    in_batch: bool = True
    #: ``(column, table, its column)``: the value must exist there.
    references: tuple[tuple[str, str, str], ...] = field(default=())

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column called ``name``."""
        return next(column for column in self.columns if column.name == name)


def study_id_column() -> Column:
    """Return the key of a trial."""
    return Column(
        "study_id",
        "key",
        "The trial, as surname_year (plus a letter where two trials share it); one per trial, "
        "however many reports.",
        required=True,
        pattern=STUDY_ID_PATTERN,
    )


def arm_column(name: str, meaning: str, *, required: bool = True) -> Column:
    """Return a key column that names an arm."""
    return Column(name, "key", meaning, required=required, pattern=WORD_PATTERN)


def outcome_column() -> Column:
    """Return the column that names an outcome."""
    return Column(
        "outcome",
        "key",
        "What was measured; a word of outcome_words.csv.",
        True,
        pattern=WORD_PATTERN,
    )


def instrument_column() -> Column:
    """Return the column that names an instrument."""
    return Column(
        "instrument",
        "key",
        "The scale, test or way of finding events; a word of instruments.csv.",
        required=True,
        pattern=WORD_PATTERN,
    )


def time_column() -> Column:
    """Return the column of the time of measurement."""
    return Column(
        "time_days",
        "number",
        "Time of measurement in days since the first dose (2 hours is 0.083); empty when the "
        "source does not say.",
        minimum=0,
        unit="days",
    )


def subgroup_column(keys: Sequence[str]) -> Column:
    """Return the column that names a subgroup."""
    return Column(
        "subgroup",
        "text",
        "Empty for the whole arm; otherwise key=value pairs joined by ';' "
        f"(keys: {', '.join(keys)}), such as sex=female.",
    )


def topic_column(name: str, meaning: str, allowed: tuple[str, ...]) -> Column:
    """Return a column of words that the project declares; any plain word where it declares none."""
    if allowed:
        return Column(name, "words", meaning, True, allowed)
    return Column(name, "key", meaning, True, pattern=WORD_PATTERN)


def moderator_columns(project: Project) -> tuple[Column, ...]:
    """Return the columns of ``studies`` that hold the project's moderators."""
    found: list[Column] = []
    for item in project.moderator:
        if item.kind == "category":
            found.append(Column(item.name, "words", item.meaning, True, item.words))
        else:
            found.append(
                Column(
                    item.name,
                    "number",
                    item.meaning,
                    minimum=item.minimum,
                    maximum=item.maximum,
                    unit=item.unit,
                )
            )
        if item.definition:
            found.append(Column(item.definition, "text", "How the source defines it."))
    return tuple(found)


def provenance_columns() -> tuple[Column, ...]:
    """Return the columns that say where a row comes from and who typed it."""
    return (
        Column(
            "locator",
            "text",
            "Where in the source the numbers stand: abstract, table, figure, page or registry "
            "field.",
            required=True,
        ),
        Column(
            "source_url",
            "url",
            "Address of the page that was read, when it is not the study's source_url.",
        ),
        Column("extracted_by", "text", "Initials of who typed the row."),
        Column("checked_by", "text", "Initials of who checked it against the source."),
        Column(
            "note",
            "text",
            "Anything a reader should know about this row; 'accept: <check> because <reason>' "
            "accepts a warning.",
        ),
    )


def count_column(name: str, meaning: str) -> Column:
    """Return a column of whole people."""
    return Column(name, "integer", meaning, minimum=0, unit="people")
