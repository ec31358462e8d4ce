"""Rows with provenance, and all tables of a project. Reads nothing and judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ketameta.evidence.project import Project
from ketameta.evidence.schema import TABLES, Schema, schema_of
from ketameta.measures import ANALYSIS, BASES, COVERS, SECONDARY, STUDY_NUMBERS

if TYPE_CHECKING:
    import pandas as pd


def stated(word: str) -> str:
    """Return a word, or nothing where it says that nothing is said."""
    return "" if word == "not_reported" else word


@dataclass(frozen=True, slots=True)
class Row:
    """One row of one table.

    Attributes
    ----------
    table, file : str
    line : int
        As a spreadsheet counts it.
    texts : mapping of str to str
        Every filled cell, cleaned of invisible characters.
    numbers : mapping of str to float
        Every number that could be read.
    flags : tuple of str
        Corrections that mark the row and leave its values as they are.
    """

    table: str
    file: str
    line: int
    texts: Mapping[str, str]
    numbers: Mapping[str, float]
    flags: tuple[str, ...] = ()

    def __getitem__(self, column: str) -> str:
        return self.texts.get(column, "")

    def number(self, column: str) -> float | None:
        """Return the number in ``column``; nothing where it is empty or could not be read."""
        return self.numbers.get(column)

    @property
    def key(self) -> tuple[str | float | None, ...]:
        """The key of the row; times that are equal as numbers are equal here."""
        return (*self.core, *(stated(self[name]) for name in ANALYSIS if name in self._key))

    @property
    def core(self) -> tuple[str | float | None, ...]:
        """The key of the result, however often its source analyses it."""
        return tuple(
            self.numbers.get(name, self.texts.get(name, "")) for name in TABLES[self.table].core
        )

    @property
    def _key(self) -> tuple[str, ...]:
        return TABLES[self.table].key

    def is_other_analysis(self, other: Row) -> bool:
        """Return whether two rows of one result say in words that they are two analyses of it."""
        pairs = ((stated(self[name]), stated(other[name])) for name in ANALYSIS)
        return any(one and two and one != two for one, two in pairs)

    @property
    def in_words(self) -> str:
        """The key as a person would say it, such as ``alder_2014, control, pain, day 1``."""
        parts = []
        for name in TABLES[self.table].core:
            text = self[name]
            if text:
                parts.append(f"day {text}" if name == "time_days" else text)
        return ", ".join(parts)


@dataclass(frozen=True)
class Evidence:
    """All tables of a project, or of some of its batches.

    The rows of a table are in ``tables[name]``. The same rows as a frame, with every column of the
    schema (numbers as float, text as str with ``''`` for empty) and ``_file``, ``_line`` and
    ``_flags`` (corrections that mark the row), are the attributes ``studies``, ``arms``,
    ``outcomes``, ``contrasts``, ``moderators``, ``risk_of_bias``, ``outcome_words``,
    ``instruments``, ``exclusions``, ``registry`` and ``harm_facts``.

    Attributes
    ----------
    tables : mapping of str to tuple of Row
    refused : mapping of str to tuple of Row
        Rows whose cells did not line up with the header; key cells only.
    project : Project
        What ``project.toml`` declares.
    """

    tables: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    refused: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    project: Project = field(default_factory=Project.model_construct)

    @cached_property
    def schema(self) -> Schema:
        """The tables of the project, with its words and moderators."""
        return schema_of(self.project)

    def rows(self, table: str) -> tuple[Row, ...]:
        """Return the rows of one table."""
        return self.tables.get(table, ())

    def frame(self, table: str) -> pd.DataFrame:
        """Return one table as a new frame."""
        import pandas as pd

        rows = self.rows(table)
        columns: dict[str, pd.Series] = {}
        for column in self.schema[table].columns:
            name = column.name
            if column.kind in ("number", "integer"):
                numbers = [row.numbers.get(name, float("nan")) for row in rows]
                columns[name] = pd.Series(numbers, dtype="float64")
            else:
                columns[name] = pd.Series([row[name] for row in rows], dtype="str")
        columns["_file"] = pd.Series([row.file for row in rows], dtype="str")
        columns["_flags"] = pd.Series([";".join(row.flags) for row in rows], dtype="str")
        columns["_line"] = pd.Series([row.line for row in rows], dtype="int64")
        return pd.DataFrame(columns)

    @cached_property
    def studies(self) -> pd.DataFrame:
        """One row per trial, with its moderators; see :meth:`moderator_values`."""
        frame = self.frame("studies")
        names = [m.name for m in self.project.moderator if m.with_basis and m.kind == "number"]
        for name in (*STUDY_NUMBERS, *names):
            known = self.moderator_values(name)
            values = frame["study_id"].map({key: row.number("value") for key, row in known.items()})
            values = values.astype("float64")
            frame[name] = frame[name].fillna(values) if name in frame else values
        return frame

    def moderator_values(
        self,
        name: str,
        bases: Sequence[str] = BASES,
        naive_to: Sequence[str] = (),
        covers: Sequence[str] = COVERS[:2],
    ) -> dict[str, Row]:
        """Return the row of ``moderators`` that speaks for each trial.

        Parameters
        ----------
        name : str
        bases : sequence of str
            Bases that count, the better first.
        naive_to : sequence of str, optional
            Earlier treatments that count, for a moderator that is about earlier treatment.
        covers : sequence of str
            Whom a value may be about.

        Notes
        -----
        Values of arms, of another phase and of people chosen to go on speak for no trial. A value
        of all people goes before one of some arms, then the better basis, then a source of the
        trial itself before a review or a data set, then the order of the rows.
        """
        ranks: dict[str, tuple[int, ...]] = {}
        found: dict[str, Row] = {}
        for row in self.rows("moderators"):
            is_it = row["moderator"] == name and not row["arm_id"] and row["basis"] in bases
            if not is_it or row["covers"] not in covers:
                continue
            if naive_to and row["naive_to"] and row["naive_to"] not in naive_to:
                continue
            rank = (
                COVERS.index(row["covers"]),
                bases.index(row["basis"]),
                int(row["source_type"] in SECONDARY),
            )
            if row["study_id"] not in found or rank < ranks[row["study_id"]]:
                found[row["study_id"]], ranks[row["study_id"]] = row, rank
        return found

    @cached_property
    def arms(self) -> pd.DataFrame:
        """One row per arm."""
        return self.frame("arms")

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row per arm, outcome, instrument, time, subgroup and statistic."""
        return self.frame("outcomes")

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """One row per printed comparison."""
        return self.frame("contrasts")

    @cached_property
    def moderators(self) -> pd.DataFrame:
        """One row per trial or arm, moderator and source."""
        return self.frame("moderators")

    @cached_property
    def risk_of_bias(self) -> pd.DataFrame:
        """One row per judged domain."""
        return self.frame("risk_of_bias")

    @cached_property
    def outcome_words(self) -> pd.DataFrame:
        """One row per outcome."""
        return self.frame("outcome_words")

    @cached_property
    def instruments(self) -> pd.DataFrame:
        """One row per instrument."""
        return self.frame("instruments")

    @cached_property
    def exclusions(self) -> pd.DataFrame:
        """One row per group of records left out."""
        return self.frame("exclusions")

    @cached_property
    def registry(self) -> pd.DataFrame:
        """One row per registered trial."""
        return self.frame("registry")

    @cached_property
    def harm_facts(self) -> pd.DataFrame:
        """One row per fact about harm from a source that compares nothing."""
        return self.frame("harm_facts")
