"""The schema agrees with itself, with the vocabulary and with the design of the tables."""

from __future__ import annotations

import re

import pytest

from batches import BATCH_TABLES, SHARED_TABLES
from helpers import each
from ketameta.evidence import STUDY_ID_PATTERN, Table, schema

TABLES = (*BATCH_TABLES, *SHARED_TABLES)
BY_NAME = {table.name: table for table in TABLES}
COLUMNS = [(table, column) for table in TABLES for column in table.columns]


def test_tables_of_a_batch_and_shared_tables_are_told_apart() -> None:
    assert [table.name for table in BATCH_TABLES] == [
        "studies",
        "arms",
        "outcomes",
        "contrasts",
        "moderators",
        "risk_of_bias",
    ]
    assert all(table.in_batch for table in BATCH_TABLES)
    assert not any(table.in_batch for table in SHARED_TABLES)
    assert len(BY_NAME) == len(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_keys_are_columns(table: Table) -> None:
    names = table.column_names
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(names)
    assert table.column(names[0]).name == names[0]
    with pytest.raises(StopIteration):
        table.column("no_such_column")


@each((f"{table.name}.{column.name}", column) for table, column in COLUMNS)
def test_every_column_says_what_it_means_and_what_it_takes(
    _name: str, column: schema.Column
) -> None:
    assert column.meaning.endswith(".")
    assert bool(column.allowed) == (column.kind == "words")
    assert bool(column.pattern) == (column.kind in ("key", "list"))
    bounds = (column.minimum, column.maximum, column.above)
    if any(bound is not None for bound in bounds):
        assert column.kind in ("number", "integer")
    assert column.minimum is None or column.above is None
    if column.pattern:
        re.compile(column.pattern)


def test_numbers_carry_their_place_in_the_source() -> None:
    for name in ("outcomes", "contrasts"):
        assert BY_NAME[name].column("locator").required
    assert BY_NAME["risk_of_bias"].column("support").required
    for column in ("locator", "basis", "covers", "source_type"):
        assert BY_NAME["moderators"].column(column).required


def test_no_derived_quantity_is_a_column() -> None:
    derived = {"g", "smd", "variance", "weight", "log_or", "effect_size"}
    assert not derived & {column.name for _, column in COLUMNS}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("zarate_2006", True),
        ("murrough_2013a", True),
        ("vlx_pool_2025", True),
        ("shp465_306_2017", True),
        ("clinic_nd", True),
        ("Zarate_2006", False),
        ("zarate 2006", False),
        ("zarate2006", False),
        ("zarate_06", False),
        ("_2006", False),
        ("zarate_2006ab", False),
    ],
)
def test_study_names_are_surname_and_year(text: str, fits: bool) -> None:
    assert bool(re.fullmatch(STUDY_ID_PATTERN, text)) == fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("NCT01234567", True),
        ("ACTRN12615000573550", True),
        ("2010-023414-31", True),
        ("ChiCTR-OOC-17012239", True),
        ("jRCT2080222505", True),
        ("NCT1234567", False),
        ("NCT 01234567", False),
        ("none", False),
    ],
)
def test_registry_numbers(text: str, fits: bool) -> None:
    pattern = BY_NAME["studies"].column("registry_id").pattern
    assert bool(re.fullmatch(pattern, text)) == fits
