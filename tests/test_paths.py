"""Where things live, and that a reader never sees half a file."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ketameta.paths import project_paths, recover, unfinished, write_atomically


def test_everything_lives_below_the_root(tmp_path: Path) -> None:
    paths = project_paths(tmp_path)
    for folder in (paths.data, paths.extracted, paths.analyses, paths.build, paths.reports,
                   paths.results, paths.figures):  # fmt: skip
        assert folder.is_relative_to(tmp_path)
    assert paths.results.is_relative_to(paths.reports)
    assert not paths.build.is_relative_to(paths.reports)


def test_the_working_directory_is_the_root_when_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_paths().root == Path.cwd()


def test_names_in_messages_are_relative_with_slashes(tmp_path: Path) -> None:
    paths = project_paths(tmp_path)
    inside = paths.extracted / "demo" / "arms.csv"
    assert paths.relative(inside) == "data/extracted/demo/arms.csv"
    assert paths.relative(tmp_path / "x" / ".." / "data") == "data"
    assert paths.relative(tmp_path.parent) == tmp_path.parent.as_posix()


@pytest.mark.parametrize("content", ["a\nb\u2013\n", b"\x00\xff"])
def test_a_file_is_written_as_given_and_readable_by_others(
    tmp_path: Path, content: str | bytes
) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    write_atomically(path, content)
    expected = content.encode("utf-8") if isinstance(content, str) else content
    assert path.read_bytes() == expected
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [item.name for item in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("step", ["fdopen", "chmod", "replace"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "report.html"
    write_atomically(path, "old")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text(encoding="utf-8") == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


#: Writes a file, or swaps a folder, and is killed before (or after) the given rename.
KILLED = """
import os, signal, sys
from pathlib import Path
from ketameta.paths import write_atomically
from ketameta.review import write_batch
left = int(sys.argv[2])
def counted(rename):
    def renamed(*names):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*names)
    return renamed
os.replace, os.rename = counted(os.replace), counted(os.rename)
path = Path(sys.argv[1])
if path.suffix:
    write_atomically(path, "new")
else:
    write_batch(path, {"studies.csv": "new"}, replace=True)
"""


def test_what_a_killed_write_leaves_is_removed_by_the_next_command(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    write_atomically(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), "0"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(path.parent.iterdir())) == 2
    (left,) = recover(tmp_path)
    assert left.name.startswith(".report.html.new-")
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_batch_is_whole_wherever_its_replacement_is_killed(tmp_path: Path, renames: int) -> None:
    folder = tmp_path / "demo"
    write_atomically(folder / "studies.csv", "old")
    write_atomically(folder / "second" / "arms.csv", "kept")
    subprocess.run([sys.executable, "-c", KILLED, str(folder), str(renames)], check=False)
    recover(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["demo"]
    expected = "new" if renames == 2 else "old"
    assert (folder / "studies.csv").read_text(encoding="utf-8") == expected
    assert (folder / "second" / "arms.csv").read_text(encoding="utf-8") == "kept"


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    ours = tmp_path / f"{unfinished(tmp_path / 'a.csv')}x1"
    theirs = tmp_path / f".a.csv.new-{os.getppid()}-x1"
    for path in (ours, theirs, tmp_path / ".a.csv.swp", tmp_path / "a.new-1-x"):
        path.write_text("x", encoding="utf-8")
    (tmp_path / ".b.new-999999999999999999999-x").symlink_to(tmp_path)
    assert recover(tmp_path) == [ours], "this process is not writing it: it has just begun"
    assert theirs.exists()


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="name a file in it") as refused:
        write_atomically(tmp_path, "x")
    assert refused.value.filename == str(tmp_path)


def test_a_folder_without_permission_is_named_by_the_file_and_not_by_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/somewhere/.file.txt.x1")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    path = tmp_path / "file.txt"
    with pytest.raises(PermissionError, match="cannot be written") as refused:
        write_atomically(path, "x")
    assert refused.value.filename == str(path)


def test_a_link_to_itself_has_a_name_all_the_same(tmp_path: Path) -> None:
    link = tmp_path / "loop"
    link.symlink_to(link.name)
    assert project_paths(tmp_path).relative(link) == "loop"
    assert project_paths(tmp_path / "elsewhere").relative(link) == link.as_posix()


def test_a_pipe_takes_the_text_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, "text")
        assert os.read(reader, 10) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
