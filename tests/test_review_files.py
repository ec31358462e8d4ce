"""Guarded cells, whole batch folders, and documents in four renderings."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches import SCHEMA
from ketameta.csvguard import guarded, unguarded
from ketameta.errors import UsageError
from ketameta.extraction import batch_folders
from ketameta.paths import project_paths
from ketameta.review import batch_files
from ketameta.review.batch_files import csv_text, holds_rows, table_csv, write_batch
from ketameta.review.document import (
    Bullets,
    Grid,
    Heading,
    Paragraph,
    Picture,
    as_html,
    as_markdown,
    as_text,
    escape_markdown,
)


@pytest.mark.parametrize("cell", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\tx", "\r=1", "=HYPERLINK(1)"])
def test_text_that_a_spreadsheet_would_run_is_quoted(cell):
    assert guarded(cell) == f"'{cell}"
    assert unguarded(guarded(cell)) == cell


@pytest.mark.parametrize(
    "cell", ["-1.5", "+3", "-1,5", "1e-5", "-.5", "=", "-", "<=", "", "O'Neil"]
)
def test_numbers_and_single_signs_stay(cell):
    assert guarded(cell) == cell


@given(st.text())
def test_guarding_can_be_undone(cell):
    assert unguarded(guarded(cell)) == cell or cell.startswith("'")


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.text(), min_size=1), max_size=4))
def test_no_exported_cell_is_a_formula(rows):
    text = csv_text(("a", "b"), rows)
    for line in csv.reader(io.StringIO(text, newline="")):
        for cell in line:
            assert guarded(cell) == cell


def test_rows_of_a_table_are_sorted_by_key_and_none_is_left_out():
    rows = [
        {"study_id": "b_2000", "arm_id": "x", "outcome": "depression", "time_days": day}
        for day in ("10", "9", "", "9")
    ]
    lines = table_csv(SCHEMA["outcomes"], rows).splitlines()[1:]
    assert [line.split(",")[4] for line in lines] == ["", "9", "9", "10"]


def test_a_batch_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "extracted" / "demo"
    write_batch(folder, {"studies.csv": "study_id\nfirst\n"})
    (folder / "second").mkdir()
    (folder / "second" / "outcomes.csv").write_text("kept", encoding="utf-8")

    def interrupted(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch_files.os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_batch(folder, {"studies.csv": "study_id\nother\n"}, replace=True)
    assert (folder / "studies.csv").read_text(encoding="utf-8") == "study_id\nfirst\n"
    assert [item.name for item in folder.parent.iterdir()] == ["demo"]

    write_batch(folder, {"studies.csv": "study_id\nother\n"}, replace=True)
    assert (folder / "studies.csv").read_text(encoding="utf-8") == "study_id\nother\n"
    assert (folder / "second" / "outcomes.csv").read_text(encoding="utf-8") == "kept"
    assert [item.name for item in folder.parent.iterdir()] == ["demo"]


def test_the_old_batch_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "extracted" / "demo"
    write_batch(folder, {"studies.csv": "study_id\nfirst\n"})
    rename, calls = os.rename, []

    def second_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("no room")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(batch_files.os, "rename", second_fails)
        with pytest.raises(OSError, match="no room"):
            write_batch(folder, {"studies.csv": "study_id\nother\n"}, replace=True)
    assert (folder / "studies.csv").read_text(encoding="utf-8") == "study_id\nfirst\n"
    assert [item.name for item in folder.parent.iterdir()] == ["demo"]


def test_a_batch_with_rows_is_not_written_over(tmp_path):
    folder = tmp_path / "demo"
    write_batch(folder, {"studies.csv": "study_id\n"})
    write_batch(folder, {"studies.csv": "study_id\nfirst\n"})
    with pytest.raises(UsageError, match="already holds rows"):
        write_batch(folder, {"studies.csv": "study_id\nother\n"})


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_rows_are_seen_whatever_the_line_ends(tmp_path, ends):
    folder = tmp_path / "demo"
    write_batch(folder, {"studies.csv": f"study_id,citation{ends}"})
    assert not holds_rows(folder)
    write_batch(folder, {"studies.csv": f"study_id,citation{ends}first,x{ends}"})
    assert holds_rows(folder)


def test_a_table_that_cannot_be_read_counts_as_rows(tmp_path):
    folder = tmp_path / "demo"
    write_batch(folder, {"studies.csv": "PK\x03\x04"})
    with pytest.raises(UsageError, match="already holds rows"):
        write_batch(folder, {"studies.csv": "study_id\n"})


#: Kills itself at a step of writing a batch over another.
KILLED = """
import os, signal, sys
from pathlib import Path
from ketameta.review import batch_files
step, calls = int(sys.argv[2]), []
rename = os.rename
def counted(source, target):
    calls.append(source)
    if len(calls) == step:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
batch_files.os.rename = counted
batch_files.write_batch(Path(sys.argv[1]), {"studies.csv": "study_id\\nother\\n"}, replace=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a signal of POSIX")
@pytest.mark.parametrize("step", [1, 2])
def test_the_next_import_clears_away_what_a_killed_one_left(tmp_path, step):
    paths = project_paths(tmp_path)
    folder = paths.extracted / "demo"
    write_batch(folder, {"studies.csv": "study_id\nfirst\n"})
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(step)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert folder.exists() == (step == 1)
    write_batch(paths.extracted / "another", {"studies.csv": "study_id\n"})
    assert sorted(item.name for item in paths.extracted.iterdir()) == ["another", "demo"]
    assert (folder / "studies.csv").read_text(encoding="utf-8") == "study_id\nfirst\n"


def test_a_half_written_batch_is_not_read(tmp_path):
    paths = project_paths(tmp_path)
    (paths.extracted / ".demo.new-abc").mkdir(parents=True)
    (paths.extracted / "demo").mkdir()
    assert [folder.name for folder in batch_folders(paths)] == ["demo"]


DOCUMENT = (
    Heading("What changes", 1),
    Paragraph("One of two.", strong=True),
    Bullets(("first", "second")),
    Grid(("trial", "k"), (("alder_2014", "3"), ("a|b", "12")), frozenset({1})),
    Picture(b"<svg/>", "Before: nothing", "Before"),
)


def test_text_has_aligned_columns_and_no_picture():
    assert as_text(DOCUMENT) == (
        "What changes\n============\n\nOne of two.\n\n- first\n- second\n\n"
        "trial        k\n----------  --\nalder_2014   3\na|b         12\n"
    )


def test_markdown_is_a_table_and_data_add_no_markup():
    text = as_markdown(DOCUMENT)
    assert "## What changes" in text
    assert "| trial | k |\n| --- | ---: |\n| alder_2014 | 3 |\n| a\\|b | 12 |" in text
    assert escape_markdown("*x* @all [a](b)\n<img> _y_ a_b `c`") == (
        r"\*x\* &#64;all \[a\](b) \<img\> \_y\_ a_b \`c\`"
    )


def test_the_page_is_self_contained_and_escaped():
    page = as_html((*DOCUMENT, Paragraph("<script>alert(1)</script>")), "A & B")
    assert "<script>" not in page
    assert "<title>A &amp; B</title>" in page
    assert 'src="data:image/svg+xml;base64,' in page and 'alt="Before: nothing"' in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_batch_that_may_not_be_written_is_named_by_its_folder(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied", "/somewhere/.demo.new-x")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError, match="cannot be written") as refused:
        write_batch(tmp_path / "demo", {"studies.csv": "x"})
    assert refused.value.filename == str(tmp_path / "demo")
