"""The dictionary and the templates say what the schema says, and are the same every time."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from batches import SCHEMA, TABLES
from helpers import ROOT
from ketameta.errors import UsageError
from ketameta.evidence import read_rows
from ketameta.evidence.checks import CHECKS, READING
from ketameta.review import dictionary_markdown, template_csv

TEXT = dictionary_markdown(SCHEMA)


def test_every_column_and_word_of_the_schema_is_described() -> None:
    for table in TABLES.values():
        section = TEXT.partition(f"\n## {table.name}.csv\n")[2].partition("\n## ")[0]
        assert section.count("\n| `") == len(table.columns)
        for column in table.columns:
            assert f"| `{column.name}` |" in section
            assert column.meaning.replace("|", r"\|") in section
            assert all(f"`{word}`" in section for word in column.allowed)


def test_every_check_is_listed_with_its_rule() -> None:
    for check in CHECKS:
        assert f"| `{check.word}` | {check.rule} |" in TEXT
    assert all(f"| `{word}` |" in TEXT for word in READING)


def test_every_row_of_a_table_has_its_cells() -> None:
    lines = TEXT.splitlines()
    for above, line in pairwise(lines):
        if line.startswith("| ") and above.startswith("| "):
            assert line.replace(r"\|", "").count("|") == above.replace(r"\|", "").count("|")


def test_the_text_is_the_same_in_every_process() -> None:
    code = (
        "from ketameta.evidence.project import *; from pathlib import *; "
        "from ketameta.evidence import schema_of; "
        "from ketameta.review import dictionary_markdown; "
        f"print(dictionary_markdown(schema_of(load_project(Path({str(ROOT)!r})))), end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode("utf-8") == TEXT
    assert TEXT.endswith("|\n") and "\r" not in TEXT


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_template_is_the_header_and_reads_without_errors(table: str, tmp_path: Path) -> None:
    text = template_csv(table, SCHEMA)
    assert next(csv.reader(io.StringIO(text))) == [column.name for column in TABLES[table].usual]
    path = tmp_path / f"{table}.csv"
    path.write_text(text)
    rows, refused, findings = read_rows(path, path.name, TABLES[table])
    assert (rows, refused) == ([], [])
    assert all(not finding.is_error for finding in findings)


def test_an_unknown_table_lists_the_tables() -> None:
    with pytest.raises(UsageError, match=r"table is 'outcome'.*did you mean outcome"):
        template_csv("outcome", SCHEMA)
