"""From CSVs to the published report: reads, checks, derives, analyses, draws, writes.

Only what changed is recomputed: each analysis carries a fingerprint of its inputs and of the code.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from html import unescape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import ketameta
from ketameta.evidence.pairing import Assumptions
from ketameta.evidence.project import FILE as PROJECT
from ketameta.evidence.tables import data_files
from ketameta.formatting import published
from ketameta.inputs import InputTables, Say, load_inputs
from ketameta.models.results import plain, terminal_bar
from ketameta.paths import (
    Keep,
    ProjectPaths,
    kept_before,
    kept_or_made,
    made_anew,
    recover,
    write_atomically,
)
from ketameta.plots import draw_figure
from ketameta.report.manifest import (
    INDEX,
    MANIFEST,
    PICTURES,
    code_hash,
    contents_hash,
    file_hash,
    inputs_text,
    manifest_text,
    releases,
    stated_outputs,
    text_hash,
)
from ketameta.typesetter import picture

if TYPE_CHECKING:
    from ketameta.analyses.result import AnalysisResult
    from ketameta.evidence.derive import EffectTable
    from ketameta.report.context import Context
    from ketameta.report.plots import Plot


#: So few figures are drawn sooner than another process has started.
FEW_FIGURES = 20
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
    Ctrl-C) stops after the figures in hand; each file is written in one step, none is left half.
    """

    def __init__(self, paths: ProjectPaths, code: str) -> None:
        self._paths, self._code = paths, code
        self._wanted: set[str] = set()
        self._due: list[tuple[Path, str, Path, str]] = []
        self._held: list[tuple[Plot, Path]] = []
        self._running: list[Future[None]] = []
        self._pool: Any = None

    def __enter__(self) -> Drawing:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._pool is not None:
            # Killed workers leave numbers of figures that nobody holds: the pool would stumble.
            for future in self._running:
                future.cancel()
            self._pool.shutdown(wait=True)

    def add(
        self, plots: Callable[[], Iterable[Plot]], keep: Keep = made_anew, of: str = ""
    ) -> None:
        """Have the figures drawn whose data, code or files changed.

        ``keep`` gives their stamps again where ``plots`` would give the same: ``of`` says what
        they rest on, and begins with a name.
        """
        made = cache(lambda: {plot.name: plot for plot in plots()})
        for name, stamp in keep(f"plots-{of.partition(' ')[0]}", lambda: self._stamps(made()), of):
            path = self._paths.figures / f"{name}.svg"
            self._wanted.add(path.name)
            note = self._paths.build / "stamps" / f"figure-{name}.txt"
            if _unchanged(note, stamp, path, *self._cut(name)):
                continue
            self._due.append((note, stamp, path, file_hash(path) if path.is_file() else ""))
            self._start(made()[name], path)

    def _stamps(self, plots: Mapping[str, Plot]) -> list[tuple[str, str]]:
        """Return the name of each plot with a hash of what its figure shows, and of the code."""
        data = {name: json.dumps(plain(plot.data), sort_keys=True) for name, plot in plots.items()}
        return [(name, text_hash(f"{self._code}{plots[name].kind}{data[name]}")) for name in plots]

    def finish(self, progress: Progress | None = None) -> list[str]:
        """Wait for the figures, remove those of no result, and return the names that changed.

        Pictures of a figure that changed are removed too: they show what it was.
        """
        for plot, path in self._held:
            draw_figure(plot.kind, plot.data, plot.words, path, self._paths.pages)
        total = len(self._running)
        for done, future in enumerate(as_completed(self._running), start=1):
            future.result()
            if progress is not None:
                progress(done, total)
        written = []
        kept = {Path(name).with_suffix(f".{end}").name for name in self._wanted for end in PICTURES}
        for note, stamp, path, before in self._due:
            _note(note, stamp, path, *self._cut(path.stem))
            if file_hash(path) != before:
                written.append(self._paths.relative(path))
                kept -= {path.with_suffix(f".{end}").name for end in PICTURES}
        stray = remove_stray(self._paths.figures, self._wanted | kept, self._paths)
        return written + [name for name in stray if name.endswith(".svg")]

    def _cut(self, name: str) -> list[Path]:
        """Return the pages that a figure is cut into for print, where it is too tall for one."""
        return sorted(self._paths.pages.glob(f"{name}.page-*.svg"))

    @property
    def names(self) -> list[str]:
        """The names of all figures, with their ending."""
        return sorted(self._wanted)

    def _start(self, plot: Plot, path: Path) -> None:
        joblib = sys.modules.get("joblib.parallel")  # who told it to start no process has it
        if joblib and type(joblib.get_active_backend()[0]).__name__ == "SequentialBackend":
            draw_figure(plot.kind, plot.data, plot.words, path, self._paths.pages)
            return
        self._held.append((plot, path))
        if self._pool is None and len(self._held) <= FEW_FIGURES:
            return
        with _deaf_children():
            self._pool = self._pool or drawing_processes()
            for plot, path in self._held:
                drawn = (plot.kind, plot.data, plot.words, path, self._paths.pages)
                self._running.append(self._pool.submit(draw_figure, *drawn))
            self._held = []


def drawing_processes() -> Any:
    """Return joblib's processes, made as joblib.Parallel makes them: it takes the same ones.

    One processor is left to this process, which computes meanwhile.
    """
    from joblib import cpu_count
    from joblib.executor import get_memmapping_executor

    return get_memmapping_executor(min(max(cpu_count() - 1, 1), MOST_WORKERS))


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


def pictures(svg: str) -> dict[str, bytes]:
    """Return an SVG as PNG and PDF, by ending; the same bytes for the same SVG everywhere.

    The words that describe the figure are taken along.
    """
    found = re.search(r'<svg[^>]*? aria-label="([^"]*)"', svg)
    words = unescape(found.group(1)) if found else ""
    return {ending: picture(svg, ending, words) for ending in PICTURES}


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
            _note(note, text_hash(svg), *files)
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
    """Return whether the files are those that were made of the same data by the same code."""
    there = all(path.is_file() and not path.is_symlink() for path in (note, *files))
    return there and note.read_bytes() == _noted(stamp, files).encode()


def _note(note: Path, stamp: str, *files: Path) -> None:
    """Remember of what files were made."""
    write_atomically(note, _noted(stamp, files))


def _noted(stamp: str, files: Sequence[Path]) -> str:
    return "\n".join([stamp, *(file_hash(path) for path in files)])


#: Below ``build/``: every published file, one a line, so that make sees when one is missing.
PUBLISHED = "published.txt"


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    computed, kept : tuple of str
        Analyses that were computed, and those whose results were still true.
    written : tuple of str
        Files that changed, relative to the project.
    """

    computed: tuple[str, ...]
    kept: tuple[str, ...]
    written: tuple[str, ...]


def build(
    paths: ProjectPaths,
    *,
    say: Say = lambda _: None,
    figures_only: bool = False,
    versions: Mapping[str, str] | None = None,
    instead: Mapping[str, str] | None = None,
) -> BuildReport:
    """Bring ``reports/`` up to date.

    Parameters
    ----------
    paths : ProjectPaths
    say : callable
        Called with one line per step; silent by default.
    figures_only : bool
        Stop after the figures, which are drawn as PNG and PDF too.
    versions : mapping, optional
        Package versions to state; those that run when not given.
    instead : mapping, optional
        Texts of ``effects.csv`` and ``results/*.json`` to go on with, by name, in place of
        computed ones: what follows from results that somebody else computed.
    """
    from ketameta.analyses.claims import ledger
    from ketameta.analyses.next_trial import Related
    from ketameta.analyses.run import run_analysis
    from ketameta.report.context import evidence_map, report_context
    from ketameta.report.evidence_tables import map_cells
    from ketameta.report.plots import page_plots, plots_of

    say("Reading and checking tables and questions")
    recover(paths.reports, paths.build / "stamps", paths.data)
    code, cache = code_fingerprint(), paths.build / "cache"
    same = data_stamp(paths, code)
    same_data = partial(kept_or_made, cache, same)
    inputs = load_inputs(paths, same_data)
    evidence, specs = inputs.evidence, inputs.specs
    written: list[str] = []
    computed: list[str] = []
    results: list[AnalysisResult] = []
    given = instead or {}
    stated = dict(versions or package_versions())
    stated = {name: stated[name] for name in [*package_versions(), *stated] if name in stated}
    notes = paths.build / "stamps"
    made_by = _made_by()
    keep = partial(kept_or_made, cache, same + made_by)
    keep_plots = partial(kept_or_made, cache, f"{made_by}{evidence.project}")
    tables = InputTables(evidence, same_data, partial(kept_before, cache), code)
    related = Related(
        {spec.name: spec for spec in specs}, tables.get, partial(kept_or_made, cache, code)
    )
    effects, note = paths.reports / "effects.csv", notes / "effects.txt"
    if "effects.csv" in given:
        written += _write_if_changed(paths, effects, given["effects.csv"])
    elif not _unchanged(note, same, effects):
        written += _write_if_changed(paths, effects, effects_csv(tables.get(Assumptions())))
        _note(note, same, effects)
    with Drawing(paths, code) as drawing:
        for spec in specs:
            target = paths.results / f"{spec.name}.json"
            whole, own = notes / f"{spec.name}.data.txt", notes / f"{spec.name}.txt"
            stamp = text_hash(f"{same}\n{spec!r}\n{related.facts(spec)}")
            if (text := given.get(f"results/{target.name}")) is not None:
                written += _write_if_changed(paths, target, text)
            elif not _unchanged(whole, stamp, target):
                asked = [tables.fingerprint(one) for one in (spec, *related.asked_by(spec))]
                seen = text_hash("\n".join([code, repr(spec), *asked, related.facts(spec)]))
                if not _unchanged(own, seen, target):
                    say(f"Computing {spec.name}")
                    text = _json_text(
                        run_analysis(spec, tables.get(spec.assume), evidence, related)
                    )
                    computed.append(spec.name)
                    written += _write_if_changed(paths, target, text)
                    _note(own, seen, target)
                _note(whole, stamp, target)
            results.append(json.loads(target.read_bytes()))
            shown_of = partial(plots_of, results[-1], evidence.project)
            drawing.add(shown_of, keep_plots, f"{spec.name} {file_hash(target)}")
        written += remove_stray(paths.results, {f"{spec.name}.json" for spec in specs}, paths)
        by_name = {result["name"]: result for result in results}
        told = (evidence.rows(name) for name in ("registry", "harm_facts"))
        claims = ledger(inputs.claims, by_name, *told)
        written += _write_if_changed(paths, paths.reports / "claims.json", _json_text(claims))
        say("Drawing figures")
        drawing.add(partial(page_plots, results, evidence))
        shown = evidence_map(keep("map", partial(map_cells, evidence)))
        drawing.add(lambda: [] if shown is None else [shown])
        written += drawing.finish(terminal_bar("Drawing figures"))
    if figures_only:
        made = draw_pictures(paths.figures, paths.figures, drawing.names, paths.build / "stamps")
        written += [paths.relative(path) for path in made]
    else:
        say("Writing the report")
        names = [
            "claims.json",
            "effects.csv",
            *(f"figures/{name}" for name in drawing.names),
            *(f"results/{spec.name}.json" for spec in specs),
        ]

        def keep_of(studies: Iterable[str]) -> Keep:
            return partial(kept_or_made, cache, made_by + tables.stamp(studies))

        context = partial(
            report_context, paths, evidence, results, inputs.report, claims, stated,
            tables.get, keep, keep_of,
        )  # fmt: skip
        written += _write_report(paths, context, names, stated)
    kept = [spec.name for spec in specs if spec.name not in computed]
    return BuildReport(tuple(computed), tuple(kept), tuple(dict.fromkeys(written)))


def data_stamp(paths: ProjectPaths, code: str) -> str:
    """Return a hash of the code and of all that the checks of the tables look at.

    These are the files that are read, with what they hold, and the names of all others.
    """
    names = [
        ascii((path.is_dir(), path.is_symlink(), str(path.relative_to(paths.root))))
        for folder in (paths.data, paths.analyses)
        for path in (folder, *sorted(folder.rglob("*")))
    ]
    for path in (*data_files(paths), paths.root / PROJECT):
        with suppress(OSError):  # that it cannot be read is found when it is
            names.append(f"{path.relative_to(paths.root)} {file_hash(path)}")
    return text_hash("\n".join([code, *names]))


def effects_csv(table: EffectTable) -> str:
    """Return the effect table as CSV text: numbers as published, sorted rows."""
    frame = table.effects.copy()
    for name in frame.select_dtypes("float"):
        frame[name] = published(frame[name].tolist())
    return frame.to_csv(index=False, lineterminator="\n")


def _json_text(value: Any) -> str:
    """Return the same text for the same value; its numbers are rounded already."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True) + "\n"


#: What stands above analyses and plots: no result and no drawing rests on it.
ABOVE = (
    "cli.py", "exchange", "question.py", "release.py", "report", "review", "starter", "verify.py",
)  # fmt: skip


def code_fingerprint() -> str:
    """Return a hash of the code that computes and draws, and of the versions it does so with."""
    return text_hash(f"{code_hash(ABOVE)}{package_versions()}")


def _made_by() -> str:
    """Return what stands for the code that shows too, beside :func:`code_fingerprint`."""
    return code_fingerprint() + code_hash(())


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages that numbers and figures depend on."""
    from importlib.metadata import version

    names = (
        *("numpy", "scipy", "pandas", "pymare", "statsmodels", "matplotlib", "formulaic"),
        *("fonttools", "typst"),
    )
    return {"ketameta": ketameta.__version__, **{name: version(name) for name in names}}


def _write_if_changed(paths: ProjectPaths, path: Path, content: str | bytes) -> list[str]:
    """Replace a file only when its content differs; return its name when it did."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.is_file() and not path.is_symlink() and path.read_bytes() == data:
        return []
    write_atomically(path, data)
    return [paths.relative(path)]


def _write_report(
    paths: ProjectPaths,
    context: Callable[[], Context],
    known: Sequence[str],
    versions: Mapping[str, str],
) -> list[str]:
    """Write page, PDF, tables, schema and manifest, unless nothing they rest on changed.

    ``context`` gives what they say; ``known`` are the published files that are written already.
    """
    note = paths.build / "stamps" / "report.txt"
    made_of = contents_hash(paths)
    listed = paths.build / PUBLISHED
    before = note.read_bytes() if note.is_file() and listed.is_file() else b""
    if before.startswith(made_of.encode()):
        names = stated_outputs(paths)
        manifest = manifest_text(paths, versions, names)
        if before == (made_of + text_hash(manifest)).encode():
            return _finish(paths, names, manifest)
    effects_text = (paths.reports / "effects.csv").read_text(encoding="utf-8")
    files = _files(context(), paths, effects_text)
    written = []
    for name, content in files.items():
        written += _write_if_changed(paths, paths.reports / name, content)
    names = [*known, *files]
    manifest = manifest_text(paths, versions, names)
    written += _finish(paths, names, manifest)
    write_atomically(note, made_of + text_hash(manifest))
    write_atomically(listed, "".join(f"reports/{name}\n" for name in [*names, MANIFEST]))
    return written


def _files(context: Context, paths: ProjectPaths, effects_text: str) -> dict[str, str | bytes]:
    """Return what the report writes, by path below ``reports/``; the effects go with the PDF."""
    from ketameta.analyses.result import schema_text
    from ketameta.evidence.findings import harmless
    from ketameta.report.html import render_pages
    from ketameta.report.pdf import documents_of, render_pdf
    from ketameta.report.tables import tables_of

    attachments = {
        "effects.csv": effects_text,
        "results.json": context["results_text"],
        "inputs.json": inputs_text(paths, context["versions"]),
    }
    cache = paths.build / "cache"
    keep = partial(kept_or_made, cache, _made_by())
    with ThreadPoolExecutor(2) as typesetting:  # which leaves this thread free
        typeset = {
            f"{name}.pdf": typesetting.submit(render_pdf, context, paths, attachments, name, keep)
            for name in documents_of(context)
        }
        listed = {
            **tables_of(context),
            **{f"analysis-{name}.csv": view["csv"] for name, view in context["views"].items()},
        }
        return {
            **render_pages(context, cache),
            "results.schema.json": kept_or_made(cache, code_hash(()), "schema", schema_text),
            # Words of a declaration may hold what no cell can: control characters, halves of pairs.
            **{f"tables/{name}": harmless(text) for name, text in listed.items()},
            **{name: document.result() for name, document in typeset.items()},
        }


def _finish(paths: ProjectPaths, names: Sequence[str], manifest: str) -> list[str]:
    """Remove tables and pages that nothing publishes; write what is about the published files."""
    from ketameta.report.html import index_html

    index = index_html(paths) if releases(paths) else None
    kept = [name.rpartition("/") for name in names]
    return [
        *(
            name
            for folder in ("tables", "questions", "supplement")
            for name in remove_stray(
                paths.reports / folder, {file for where, _, file in kept if where == folder}, paths
            )
        ),
        *_write_if_changed(paths, paths.reports / MANIFEST, manifest),
        *([] if index is None else _write_if_changed(paths, paths.reports / INDEX, index)),
    ]
