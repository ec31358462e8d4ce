"""From CSVs to the published report: reads, checks, derives, analyses, draws, writes.

Only what changed is recomputed: each analysis carries a fingerprint of its inputs and of the code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ketameta
from ketameta.drawing import Drawing, remove_stray
from ketameta.effect_rows import Assumptions
from ketameta.errors import ExtractionError, KetametaError
from ketameta.input_tables import InputTables
from ketameta.paths import ProjectPaths, write_atomically
from ketameta.report.manifest import code_hash, manifest_text, text_hash

if TYPE_CHECKING:
    from ketameta.analyses.related import Related
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.effect_table import EffectTable
    from ketameta.evidence import Evidence

Say = Callable[[str], None]


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


def load_evidence(paths: ProjectPaths) -> tuple[Evidence, tuple[Any, ...]]:
    """Return the checked and corrected evidence and the corrections applied.

    Raises
    ------
    ExtractionError
        With every problem of every file.
    """
    from ketameta.checks import checked_evidence, format_findings

    report, evidence = checked_evidence(paths)
    if report.errors:
        raise ExtractionError(format_findings(report), report.findings)
    return evidence, report.applied


def known_words(evidence: Evidence) -> dict[str, list[str]]:
    """Return the words the data use, for checking analysis files against them."""
    outcomes = evidence.outcome_words
    arms = evidence.arms
    classes = zip(arms["intervention"], arms["drug_class"], strict=True)
    return {
        "counted": sorted(outcomes.loc[outcomes["kind"] == "event", "outcome"]),
        "intervention_class": sorted({f"{name} {group}" for name, group in classes if group}),
        "outcome": sorted(set(evidence.outcome_words["outcome"])),
        "instrument": sorted(set(evidence.instruments["instrument"])),
        "intervention": sorted(set(evidence.arms["intervention"])),
        "comparator": sorted(set(evidence.arms["intervention"])),
        "study_id": sorted(set(evidence.studies["study_id"])),
    }


def build(
    paths: ProjectPaths, *, say: Say = lambda _: None, figures_only: bool = False
) -> BuildReport:
    """Bring ``reports/`` up to date.

    Parameters
    ----------
    paths : ProjectPaths
    say : callable
        Called with one line per step; silent by default.
    figures_only : bool
        Stop after the figures.
    """
    from ketameta.analyses.claims import ledger
    from ketameta.analyses.claims_file import load_claims
    from ketameta.analyses.related import Related
    from ketameta.analyses.spec_file import load_specs
    from ketameta.models.progress import terminal_bar
    from ketameta.report.evidence_map import evidence_map
    from ketameta.report.page_plots import page_plots
    from ketameta.report.plots import plots_of

    say("Reading and checking the extracted tables")
    evidence, applied = load_evidence(paths)
    known = known_words(evidence)
    registry = evidence.registry.to_dict("records")
    specs = load_specs(paths.analyses, known)
    public = load_claims(
        paths.data / "claims.toml",
        [spec.name for spec in specs],
        known["intervention"],
        [row["condition"] for row in registry],
    )
    tables = InputTables(evidence)
    written: list[str] = []
    computed: list[str] = []
    results: list[dict[str, Any]] = []
    code = code_fingerprint()
    related = Related({spec.name: spec for spec in specs}, tables.get)
    effects_text = effects_csv(tables.get(Assumptions()))
    written += _write_if_changed(paths, paths.reports / "effects.csv", effects_text)
    with Drawing(paths, code) as drawing:
        for spec in specs:
            target = paths.results / f"{spec.name}.json"
            asked = [tables.fingerprint(other) for other in related.asked_by(spec)]
            facts = [tables.fingerprint(spec), *asked, related.facts(spec)]
            stamp = _fingerprint(code, spec, "\n".join(facts))
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
        claims = ledger(public, {result["name"]: result for result in results}, registry)
        written += _write_if_changed(paths, paths.reports / "claims.json", _json_text(claims))
        say("Drawing figures")
        drawing.add(page_plots(results, evidence))
        drawing.add([evidence_map(evidence)])
        written += drawing.finish(terminal_bar("Drawing figures"))
    if not figures_only:
        say("Writing the report")
        written += _write_report(paths, evidence, results, applied, claims, tables)
    kept = [spec.name for spec in specs if spec.name not in computed]
    return BuildReport(tuple(computed), tuple(kept), tuple(dict.fromkeys(written)))


def effects_csv(table: EffectTable) -> str:
    """Return the effect table as CSV text: repr floats, sorted rows."""
    return table.effects.to_csv(index=False, lineterminator="\n")


def _results_text(
    spec: AnalysisSpec, tables: InputTables, evidence: Evidence, related: Related
) -> str:
    from ketameta.analyses.run import run_analysis

    return _json_text(run_analysis(spec, tables.get(spec.assume), evidence, related))


def _json_text(value: Any) -> str:
    """Return the same text for the same value, at full precision."""
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
    if not (note.is_file() and target.is_file()):
        return None
    text = target.read_text(encoding="utf-8")
    return text if note.read_text(encoding="utf-8") == f"{stamp}\n{text_hash(text)}" else None


def _write_if_changed(paths: ProjectPaths, path: Path, content: str | bytes) -> list[str]:
    """Replace a file only when its content differs; return its name when it did."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
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
) -> list[str]:
    """Write page, PDF, tables, schema and manifest, unless nothing they rest on changed."""
    from ketameta.report.context import report_context
    from ketameta.report.publish import report_files
    from ketameta.report.reproduce import contents_hash

    note = paths.build / "stamps" / "report.txt"
    made_of = contents_hash(paths)
    if note.is_file():
        known = text_hash(made_of + manifest_text(paths, package_versions()))
        if (
            note.read_text(encoding="utf-8") == known
            and (paths.reports / "manifest.json").is_file()
        ):
            return []
    context = report_context(
        paths, evidence, results, applied, claims, package_versions(), tables.frames()
    )
    effects_text = (paths.reports / "effects.csv").read_text(encoding="utf-8")
    files = report_files(context, paths, results, effects_text)
    written = []
    for name, content in files.items():
        written += _write_if_changed(paths, paths.reports / name, content)
    kept = {name.partition("/")[2] for name in files if name.startswith("tables/")}
    written += remove_stray(paths.reports / "tables", kept, paths)
    manifest = manifest_text(paths, package_versions())
    written += _write_if_changed(paths, paths.reports / "manifest.json", manifest)
    write_atomically(note, text_hash(made_of + manifest))
    return written


__all__ = ["BuildReport", "KetametaError", "build", "load_evidence"]
