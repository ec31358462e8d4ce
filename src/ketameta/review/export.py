"""Exports the evidence for other programs: Metapsy, RevMan, reference managers, metafor.

Collects and writes; each format has a module of its own. Cells that a spreadsheet could run are
guarded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ketameta.errors import UsageError, check_choice, did_you_mean
from ketameta.paths import ProjectPaths, write_atomically

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence import Evidence

Say = Callable[[str], None]
FORMATS = ("metapsy", "revman", "ris", "metafor")


def export(
    paths: ProjectPaths,
    kind: str,
    output: Path,
    analyses: Sequence[str] = (),
    *,
    say: Say = lambda _: None,
) -> tuple[Path, ...]:
    """Write the evidence in another format and return the files.

    Parameters
    ----------
    paths : ProjectPaths
    kind : {"metapsy", "revman", "ris", "metafor"}
        Comparisons of all trials; data rows of analyses; references; data and script of analyses.
    output : Path
        A file, or for ``metafor`` a folder.
    analyses : sequence of str
        Names of analyses, for ``revman`` and ``metafor``; all when empty.
    say : callable

    Raises
    ------
    UsageError
        If the format or an analysis does not exist, the output is a file where a folder is needed
        or the other way round, or analyses are named for a format that holds all evidence.
    ExtractionError
        If the data have errors.
    """
    from ketameta.inputs import load_evidence

    check_choice("format", kind, FORMATS)
    if kind == "metafor" and output.exists() and not output.is_dir():
        raise UsageError(f"{output}: this is a file; metafor needs a folder")
    if kind != "metafor" and output.is_dir():
        raise UsageError(f"{output}: this is a folder; name a file in it")
    if analyses and kind not in ("revman", "metafor"):
        raise UsageError(f"{kind} holds all evidence; --analysis goes with revman and metafor")
    say("Reading and checking")
    evidence, _ = load_evidence(paths)
    if kind == "ris":
        from ketameta.review.export_ris import references

        files = {output: references(evidence)}
    elif kind == "metapsy":
        from ketameta.effect_table import derive_effects
        from ketameta.review.export_metapsy import metapsy_csv

        files = {output: metapsy_csv(derive_effects(evidence), evidence)}
    else:
        specs = _specs(paths, evidence, analyses)
        files = _of_analyses(kind, output, specs, evidence, say)
    for path, text in files.items():
        write_atomically(path, text)
    return tuple(files)


def _specs(paths: ProjectPaths, evidence: Evidence, names: Sequence[str]) -> list[AnalysisSpec]:
    """Return the analyses asked for."""
    from ketameta.analyses import load_specs
    from ketameta.inputs import known_words

    specs = load_specs(paths.analyses, known_words(evidence))
    known = [spec.name for spec in specs]
    unknown = [f"{name!r}{did_you_mean(name, known)}" for name in names if name not in known]
    if unknown:
        raise UsageError(f"no such analysis: {'; '.join(unknown)} (one of {', '.join(known)})")
    return [spec for spec in specs if not names or spec.name in names]


def _of_analyses(
    kind: str,
    output: Path,
    specs: Sequence[AnalysisSpec],
    evidence: Evidence,
    say: Say,
) -> dict[Path, str]:
    """Return the files of a format that is about analyses."""
    from ketameta.analyses.run import run_analysis
    from ketameta.inputs import InputTables
    from ketameta.review.export_metafor import metafor_files
    from ketameta.review.export_revman import data_rows_csv

    tables = InputTables(evidence)
    results = []
    files: dict[Path, str] = {}
    for spec in specs:
        say(f"Computing {spec.name}")
        table = tables.get(spec.assume)
        result = run_analysis(spec, table, evidence)
        results.append(result)
        if kind == "metafor":
            for name, text in metafor_files(spec, table, evidence, result).items():
                files[output / name] = text
    if kind == "revman":
        files[output] = data_rows_csv(results)
    return files
