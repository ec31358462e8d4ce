"""Draws the figures of a build in processes of their own, while the analyses are computed.

Only what changed is drawn: each figure carries a fingerprint of its data and of the code. What is
published is SVG; PNG and PDF are made from it, so that they are the same on every processor.
"""

from __future__ import annotations

import json
import re
import signal
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from html import unescape
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ketameta.models.results import plain
from ketameta.paths import ProjectPaths, write_atomically
from ketameta.report.manifest import file_hash, text_hash
from ketameta.typesetter import fonts

if TYPE_CHECKING:
    from ketameta.report.plots import Plot

#: Pictures made from the SVG of a figure, and the pixels per inch of a PNG.
PICTURES = ("png", "pdf")
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
        self._due: list[tuple[Path, str, Path, str]] = []
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
            path = self._paths.figures / f"{plot.name}.svg"
            self._wanted.add(path.name)
            data = json.dumps(plain(plot.data), sort_keys=True)
            stamp = text_hash(f"{self._code}{plot.kind}{data}")
            note = self._paths.build / "stamps" / f"figure-{plot.name}.txt"
            if _unchanged(note, stamp, path):
                continue
            self._due.append((note, stamp, path, file_hash(path) if path.is_file() else ""))
            self._start(plot, path)

    def finish(self, progress: Progress | None = None) -> list[str]:
        """Wait for the figures, remove those of no result, and return the names that changed.

        Pictures of a figure that changed are removed too: they show what it was.
        """
        total = len(self._running)
        for done, future in enumerate(as_completed(self._running), start=1):
            future.result()
            if progress is not None:
                progress(done, total)
        written = []
        kept = {Path(name).with_suffix(f".{end}").name for name in self._wanted for end in PICTURES}
        for note, stamp, path, before in self._due:
            now = file_hash(path)
            write_atomically(note, f"{stamp}\n{now}")
            if now != before:
                written.append(self._paths.relative(path))
                kept -= {path.with_suffix(f".{end}").name for end in PICTURES}
        stray = remove_stray(self._paths.figures, self._wanted | kept, self._paths)
        return written + [name for name in stray if name.endswith(".svg")]

    @property
    def names(self) -> list[str]:
        """The names of all figures, with their ending."""
        return sorted(self._wanted)

    def _start(self, plot: Plot, path: Path) -> None:
        from joblib import cpu_count
        from joblib.externals.loky import get_reusable_executor
        from joblib.parallel import get_active_backend

        if type(get_active_backend()[0]).__name__ == "SequentialBackend":
            draw_figure(plot, path, self._paths.pages)
            return
        with _deaf_children():
            if self._pool is None:
                self._pool = get_reusable_executor(max_workers=min(cpu_count(), MOST_WORKERS))
            self._running.append(self._pool.submit(draw_figure, plot, path, self._paths.pages))


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


def draw_figure(plot: Plot, path: Path, pages: Path) -> None:
    """Draw one plot into its file, and cut into pages if it is too tall. Runs in a worker."""
    from ketameta.plots import look

    draw = import_module(f"ketameta.plots.{plot.kind}").plot
    with look.detached():
        ax = draw(plot.data)
        path.parent.mkdir(parents=True, exist_ok=True)
        look.save(ax, path, description=plot.words)
        for old in pages.glob(f"{plot.name}.page-*.svg"):
            old.unlink()
        if plot.kind == "forest":
            from ketameta.plots.forest_draw import draw as draw_forest
            from ketameta.plots.forest_layout import lay_out

            cut = lay_out(plot.data).pages()
            for number, layout in enumerate(cut if len(cut) > 1 else (), start=1):
                page = pages / f"{plot.name}.page-{number:02d}.svg"
                page.parent.mkdir(parents=True, exist_ok=True)
                look.save(draw_forest(layout), page)


#: A page that is the figure. The words come as data, so nothing in them acts as markup.
_PAGE = b"""#set document(title: sys.inputs.words)
#set page(width: auto, height: auto, margin: 0pt)
#image(bytes(sys.inputs.svg), format: "svg", alt: sys.inputs.words)
"""


def pictures(svg: str) -> dict[str, bytes]:
    """Return an SVG as PNG and PDF, by ending; the same bytes for the same SVG everywhere.

    The words that describe the figure are taken along.
    """
    import typst

    found = re.search(r"<dc:description>(.*?)</dc:description>", svg, re.DOTALL)
    words = unescape(found.group(1)) if found else "Figure"
    inputs = {"svg": svg, "words": words}
    fixed: dict[str, Any] = {"sys_inputs": inputs, "font_paths": fonts()}
    png = typst.compile(_PAGE, format="png", ppi=float(PNG_DPI), **fixed)
    pdf = typst.compile(_PAGE, format="pdf", pdf_standards=["ua-1"], timestamp=0, **fixed)
    return {"png": _with_words(png, words), "pdf": pdf}


def _with_words(png: bytes, words: str) -> bytes:
    """Return a PNG that says what it shows and how large a pixel is."""
    per_metre = round(PNG_DPI / 0.0254)
    header = png.index(b"IDAT") - 4
    size = _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))
    text = _chunk(b"iTXt", b"Description\0\0\0\0\0" + words.encode("utf-8"))
    return png[:header] + size + text + png[header:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def draw_pictures(
    figures: Path, target: Path, names: Iterable[str], notes: Path | None = None
) -> list[Path]:
    """Write PNG and PDF of figures and return those that were made.

    Parameters
    ----------
    figures : Path
        Folder of the SVGs.
    target : Path
        Folder of the pictures.
    names : iterable of str
        Files of ``figures``.
    notes : Path, optional
        Folder that remembers which pictures are of which SVG; all are made without it.
    """
    made = []
    for name in names:
        svg = (figures / name).read_text(encoding="utf-8")
        files = [target / Path(name).with_suffix(f".{ending}") for ending in PICTURES]
        note = None if notes is None else notes / f"pictures-{Path(name).stem}.txt"
        if note is not None and _unchanged(note, text_hash(svg), *files):
            continue
        for path, content in zip(files, pictures(svg).values(), strict=True):
            write_atomically(path, content)
            made.append(path)
        if note is not None:
            write_atomically(note, f"{text_hash(svg)}\n{_files_hash(files)}")
    return made


def remove_stray(folder: Path, wanted: Iterable[str], paths: ProjectPaths) -> list[str]:
    """Remove the files of a folder that nothing wants any more; return their names."""
    keep = set(wanted)
    removed = []
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.name not in keep:
            path.unlink()
            removed.append(paths.relative(path))
    return removed


def _unchanged(note: Path, stamp: str, *files: Path) -> bool:
    """Return whether the files are those that were drawn from the same data by the same code."""
    if not (note.is_file() and all(path.is_file() for path in files)):
        return False
    return note.read_text(encoding="utf-8") == f"{stamp}\n{_files_hash(files)}"


def _files_hash(files: Sequence[Path]) -> str:
    return "\n".join(file_hash(path) for path in files)
