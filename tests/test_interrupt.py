"""Ctrl-C on a terminal ends a build at once, says so, and leaves whole files only."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from helpers import TWO_ANALYSES, make_project, trials

#: Seconds until a busy machine must have come to the step that is waited for.
PATIENCE = 240


def read_until(terminal: int, words: bytes, seen: bytes = b"") -> bytes:
    """Read what the program writes until ``words`` appear, or it ends."""
    deadline = time.monotonic() + PATIENCE
    while words not in seen and time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 1.0)
        if ready:
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
    return seen


def test_ctrl_c_while_figures_are_drawn(tmp_path: Path) -> None:
    paths = make_project(tmp_path, trials(3), TWO_ANALYSES)
    terminal, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "ketameta", "report", "--root", str(tmp_path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(theirs)
    try:
        seen = read_until(terminal, b"Drawing figures")
        assert b"Reading and checking" in seen and b"Drawing figures" in seen
        os.killpg(running.pid, signal.SIGINT)  # what a terminal does: every process is told
        seen = read_until(terminal, b"\x00", seen)
        assert running.wait(PATIENCE) == 130
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        os.close(terminal)
    assert b"Traceback" not in seen
    assert b"Stopped; files already written are whole." in seen
    assert not (paths.reports / "report.html").exists()
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in left if path.suffix not in _WHOLE] == []
    for path in left:
        _WHOLE[path.suffix](path.read_bytes())


def _ends_with(end: bytes) -> Callable[[bytes], None]:
    def check(content: bytes) -> None:
        assert content.rstrip().endswith(end)

    return check


#: What a whole file of each kind looks like.
_WHOLE = {
    ".json": json.loads,
    ".svg": _ends_with(b"</svg>"),
    ".png": _ends_with(b"IEND\xaeB`\x82"),
    ".pdf": _ends_with(b"%%EOF"),
    ".csv": lambda content: content.decode("utf-8"),
    ".toml": lambda content: content.decode("utf-8"),
    ".txt": lambda content: content.decode("utf-8"),
    ".kept": lambda content: pickle.loads(content[hashlib.sha256().digest_size :]),
}
