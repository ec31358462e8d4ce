"""From CSVs to the published report: reads, checks, derives, analyses, draws, writes.

Only what changed is recomputed: each analysis carries a fingerprint of its inputs and of the code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ketameta
from ketameta.drawing import Drawing, draw_pictures, remove_stray
from ketameta.errors import KetametaError
from ketameta.inputs import InputTables, Say, load_inputs
from ketameta.numberformat import published
from ketameta.paths import ProjectPaths, recover, write_atomically
from ketameta.report.manifest import (
    MANIFEST,
    code_hash,
    file_hash,
    manifest_text,
    stated_outputs,
    text_hash,
)
from ketameta.study_facts import Assumptions

if TYPE_CHECKING:
    from ketameta.analyses.related import Related
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.effect_table import EffectTable
    from ketameta.evidence import Evidence

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
    from ketameta.analyses.related import Related
    from ketameta.models.progress import terminal_bar
    from ketameta.report.evidence_map import evidence_map
    from ketameta.report.page_plots import page_plots
    from ketameta.report.plots import plots_of

    say("Reading and checking tables and questions")
    recover(paths.reports, paths.build / "stamps", paths.data)
    inputs = load_inputs(paths)
    evidence, specs = inputs.evidence, inputs.specs
    registry = evidence.registry.to_dict("records")
    tables = InputTables(evidence)
    written: list[str] = []
    computed: list[str] = []
    results: list[dict[str, Any]] = []
    given = instead or {}
    known_versions = package_versions()
    stated = dict(versions or known_versions)
    stated = {name: stated[name] for name in [*known_versions, *stated] if name in stated}
    code = code_fingerprint()
    related = Related({spec.name: spec for spec in specs}, tables.get)
    effects_text = given.get("effects.csv") or effects_csv(tables.get(Assumptions()))
    written += _write_if_changed(paths, paths.reports / "effects.csv", effects_text)
    with Drawing(paths, code) as drawing:
        for spec in specs:
            target = paths.results / f"{spec.name}.json"
            asked = [tables.fingerprint(other) for other in related.asked_by(spec)]
            facts = [tables.fingerprint(spec), *asked, related.facts(spec)]
            stamp = _fingerprint(code, spec, "\n".join(facts))
            text = given.get(f"results/{target.name}")
            if text is not None:
                written += _write_if_changed(paths, target, text)
            else:
                text = _still_true(paths, target, spec.name, stamp)
            if text is None:
                say(f"Computing {spec.name}")
                text = _results_text(spec, tables, evidence, related)
                computed.append(spec.name)
                written += _write_if_changed(paths, target, text)
                write_atomically(
                    paths.build / "stamps" / f"{spec.name}.txt", f"{stamp}\n{text_hash(text)}"
                )
            results.append(json.loads(text))
            drawing.add(plots_of(results[-1]))
        written += remove_stray(paths.results, {f"{spec.name}.json" for spec in specs}, paths)
        claims = ledger(inputs.claims, {result["name"]: result for result in results}, registry)
        written += _write_if_changed(paths, paths.reports / "claims.json", _json_text(claims))
        say("Drawing figures")
        drawing.add(page_plots(results, evidence))
        drawing.add([evidence_map(evidence)])
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
        written += _write_report(
            paths, evidence, results, inputs.report.applied, claims, tables, names, stated
        )
    kept = [spec.name for spec in specs if spec.name not in computed]
    return BuildReport(tuple(computed), tuple(kept), tuple(dict.fromkeys(written)))


def effects_csv(table: EffectTable) -> str:
    """Return the effect table as CSV text: numbers as published, sorted rows."""
    frame = table.effects.copy()
    for name in frame.select_dtypes("float"):
        frame[name] = published(frame[name].tolist())
    return frame.to_csv(index=False, lineterminator="\n")


def _results_text(
    spec: AnalysisSpec, tables: InputTables, evidence: Evidence, related: Related
) -> str:
    from ketameta.analyses.run import run_analysis

    return _json_text(run_analysis(spec, tables.get(spec.assume), evidence, related))


def _json_text(value: Any) -> str:
    """Return the same text for the same value; its numbers are rounded already."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True) + "\n"


def code_fingerprint() -> str:
    """Return a hash of the package's own source and of the versions it computes with."""
    versions = (f"{name}={version}" for name, version in package_versions().items())
    return text_hash("".join([code_hash(), *versions]))


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that numbers and figures depend on."""
    from importlib.metadata import version

    names = (
        *("numpy", "scipy", "pandas", "pymare", "statsmodels", "matplotlib", "formulaic"),
        *("fonttools", "typst"),
    )
    return {"ketameta": ketameta.__version__, **{name: version(name) for name in names}}


def _fingerprint(code: str, spec: AnalysisSpec, inputs: str) -> str:
    return text_hash(f"{code}\n{spec!r}\n{inputs}")


def _still_true(paths: ProjectPaths, target: Path, name: str, stamp: str) -> str | None:
    """Return the stored results when their inputs and they themselves are unchanged."""
    note = paths.build / "stamps" / f"{name}.txt"
    if not (note.is_file() and target.is_file()) or target.is_symlink():
        return None
    true = note.read_text(encoding="utf-8") == f"{stamp}\n{file_hash(target)}"
    return target.read_bytes().decode("utf-8") if true else None


def _write_if_changed(paths: ProjectPaths, path: Path, content: str | bytes) -> list[str]:
    """Replace a file only when its content differs; return its name when it did."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.is_file() and not path.is_symlink() and path.read_bytes() == data:
        return []
    write_atomically(path, data)
    return [paths.relative(path)]


def _write_report(
    paths: ProjectPaths,
    evidence: Evidence,
    results: Sequence[dict[str, Any]],
    applied: Sequence[Any],
    claims: Sequence[dict[str, Any]],
    tables: InputTables,
    known: Sequence[str],
    versions: Mapping[str, str],
) -> list[str]:
    """Write page, PDF, tables, schema and manifest, unless nothing they rest on changed.

    ``known`` are the published files that are written already.
    """
    from ketameta.report.context import report_context
    from ketameta.report.publish import report_files
    from ketameta.report.reproduce import contents_hash

    note = paths.build / "stamps" / "report.txt"
    made_of = contents_hash(paths)
    listed = paths.build / PUBLISHED
    if note.is_file() and listed.is_file():
        names = stated_outputs(paths)
        manifest = manifest_text(paths, versions, names)
        if note.read_text(encoding="utf-8") == text_hash(made_of + manifest):
            return _finish(paths, names, manifest)
    context = report_context(paths, evidence, results, applied, claims, versions, tables.frames())
    effects_text = (paths.reports / "effects.csv").read_text(encoding="utf-8")
    files = report_files(context, paths, results, effects_text)
    written = []
    for name, content in files.items():
        written += _write_if_changed(paths, paths.reports / name, content)
    names = [*known, *files]
    manifest = manifest_text(paths, versions, names)
    written += _finish(paths, names, manifest)
    write_atomically(note, text_hash(made_of + manifest))
    write_atomically(listed, "".join(f"reports/{name}\n" for name in [*names, MANIFEST]))
    return written


def _finish(paths: ProjectPaths, names: Sequence[str], manifest: str) -> list[str]:
    """Remove tables that nothing publishes, and write what is about the published files."""
    kept = {name.partition("/")[2] for name in names if name.startswith("tables/")}
    return [
        *remove_stray(paths.reports / "tables", kept, paths),
        *_write_if_changed(paths, paths.reports / MANIFEST, manifest),
        *_refresh_releases(paths),
    ]


def _refresh_releases(paths: ProjectPaths) -> list[str]:
    """Bring the page that lists the releases up to date, where there are any."""
    from ketameta.release import INDEX, index_html
    from ketameta.report.changes import releases

    if not releases(paths):
        return []
    return _write_if_changed(paths, paths.reports / INDEX, index_html(paths))


__all__ = ["BuildReport", "KetametaError", "build"]
