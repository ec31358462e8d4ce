"""Draws the figures of a build in processes of their own, while the analyses are computed.

Only what changed is drawn: each figure carries a fingerprint of its data and of the code.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ketameta.models.results import plain
from ketameta.paths import ProjectPaths, write_atomically
from ketameta.report.manifest import file_hash, text_hash

if TYPE_CHECKING:
    from ketameta.report.plots import Plot

#: Files of every figure, and the pixels per inch of a PNG.
FIGURE_ENDINGS = ("svg", "png", "pdf")
PNG_DPI = 300
#: More processes than this wait for the memory and the disk rather than draw.
MOST_WORKERS = 8

Progress = Callable[[int, int], None]


class Drawing:
    """The figures of one build; a context in which they are handed in.

    Parameters
    ----------
    paths : ProjectPaths
    code : str
        Fingerprint of the code that draws.

    Notes
    -----
    Figures are drawn by joblib's processes, or in this one under
    ``joblib.parallel_config(backend="sequential")``. Whoever leaves the context early (an error,
    Ctrl-C) stops the processes; each file is written in one step, so none is left half-written.
    """

    def __init__(self, paths: ProjectPaths, code: str) -> None:
        self._paths, self._code = paths, code
        self._wanted: set[str] = set()
        self._due: list[tuple[Path, str, list[Path]]] = []
        self._running: list[Future[None]] = []
        self._pool: Any = None

    def __enter__(self) -> Drawing:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)

    def add(self, plots: Iterable[Plot]) -> None:
        """Have the figures drawn whose data, code or files changed."""
        for plot in plots:
            files = [self._paths.figures / f"{plot.name}.{ending}" for ending in FIGURE_ENDINGS]
            self._wanted.update(path.name for path in files)
            data = json.dumps(plain(plot.data), sort_keys=True)
            stamp = text_hash(f"{self._code}{plot.kind}{data}")
            note = self._paths.build / "stamps" / f"figure-{plot.name}.txt"
            if _unchanged(note, stamp, files):
                continue
            self._due.append((note, stamp, files))
            self._start(plot, files)

    def finish(self, progress: Progress | None = None) -> list[str]:
        """Wait for the figures, remove those of no result, and return the names that changed."""
        total = len(self._running)
        for done, future in enumerate(as_completed(self._running), start=1):
            future.result()
            if progress is not None:
                progress(done, total)
        written = []
        for note, stamp, files in self._due:
            write_atomically(note, f"{stamp}\n{_files_sha(files)}")
            written += [self._paths.relative(path) for path in files]
        return written + remove_stray(self._paths.figures, self._wanted, self._paths)

    def _start(self, plot: Plot, files: Sequence[Path]) -> None:
        from joblib import cpu_count
        from joblib.externals.loky import get_reusable_executor
        from joblib.parallel import get_active_backend

        if type(get_active_backend()[0]).__name__ == "SequentialBackend":
            draw_figure(plot, files, self._paths.pages)
            return
        with _deaf_children():
            if self._pool is None:
                self._pool = get_reusable_executor(max_workers=min(cpu_count(), MOST_WORKERS))
            self._running.append(self._pool.submit(draw_figure, plot, files, self._paths.pages))


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Have processes that start inside not hear Ctrl-C: this one hears it, and stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say how signals are taken
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def draw_figure(plot: Plot, files: Sequence[Path], pages: Path) -> None:
    """Draw one plot into its files, and cut into pages if it is too tall. Runs in a worker."""
    from ketameta.plots import look

    draw = import_module(f"ketameta.plots.{plot.kind}").plot
    with look.detached():
        ax = draw(plot.data)
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            look.save(ax, path, description=plot.words, dpi=PNG_DPI)
        for old in pages.glob(f"{plot.name}.page-*.svg"):
            old.unlink()
        if plot.kind == "forest":
            from ketameta.plots.forest_draw import draw as draw_forest
            from ketameta.plots.forest_layout import lay_out

            cut = lay_out(plot.data).pages()
            for number, layout in enumerate(cut if len(cut) > 1 else (), start=1):
                path = pages / f"{plot.name}.page-{number:02d}.svg"
                path.parent.mkdir(parents=True, exist_ok=True)
                look.save(draw_forest(layout), path)


def remove_stray(folder: Path, wanted: Iterable[str], paths: ProjectPaths) -> list[str]:
    """Remove the files of a folder that nothing wants any more; return their names."""
    keep = set(wanted)
    removed = []
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.name not in keep:
            path.unlink()
            removed.append(paths.relative(path))
    return removed


def _unchanged(note: Path, stamp: str, files: Sequence[Path]) -> bool:
    """Return whether the files are those that were drawn from the same data by the same code."""
    if not (note.is_file() and all(path.is_file() for path in files)):
        return False
    return note.read_text(encoding="utf-8") == f"{stamp}\n{_files_sha(files)}"


def _files_sha(files: Sequence[Path]) -> str:
    return text_hash("".join(file_hash(path) for path in files))
