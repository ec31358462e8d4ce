"""A progress bar for long computations: on a terminal, after a second; silent anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

#: Seconds before a bar appears, and between two drawings.
PATIENCE, INTERVAL = 1.0, 0.1
WIDTH = 30


def terminal_bar(what: str) -> Callable[[int, int], None] | None:
    """Return a function of (done, total) that draws a bar, or None when nobody is looking.

    Nobody is looking when standard error is not a terminal.
    """
    stream = sys.stderr
    if stream is None or not stream.isatty():
        return None
    begun = time.monotonic()
    drawn = begun + PATIENCE - INTERVAL

    def draw(done: int, total: int) -> None:
        nonlocal drawn
        now = time.monotonic()
        shown = drawn > begun + PATIENCE - INTERVAL
        if now - drawn < INTERVAL and not (shown and done >= total):
            return
        drawn = now
        filled = WIDTH * done // total
        left = (now - begun) * (total - done) / max(done, 1)
        stream.write(
            f"\r{what} [{'#' * filled}{'.' * (WIDTH - filled)}] {100 * done // total:3d}%"
            f" {left:4.0f} s left"
        )
        if done >= total:
            stream.write("\r" + " " * (len(what) + WIDTH + 22) + "\r")
        stream.flush()

    return draw
