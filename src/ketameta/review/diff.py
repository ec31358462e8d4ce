"""The present data against a published release: what changed in every analysis."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ketameta.errors import UsageError, did_you_mean
from ketameta.paths import ProjectPaths
from ketameta.review.preview import AnalysisChange, compare_results

Say = Callable[[str], None]
#: What a results file must hold to be compared.
_NEEDED = ("name", "title", "directness", "measure", "favours", "k", "groups", "pooled")


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed since a release.

    Attributes
    ----------
    release : str
    changes : tuple of AnalysisChange
    added, removed : tuple of str
        Titles of analyses that are new or gone.
    same : int
        Number of analyses without any difference.
    results : mapping of str to (dict, dict)
        The results behind ``changes``.
    """

    release: str
    changes: tuple[AnalysisChange, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    same: int
    results: dict[str, tuple[dict[str, Any], dict[str, Any]]]


def diff_release(paths: ProjectPaths, release: str | Path, *, say: Say = lambda _: None) -> Diff:
    """Return what the present data say otherwise than a release.

    Parameters
    ----------
    paths : ProjectPaths
    release : str or Path
        A release in ``reports/releases``, or any folder with results files (``*.json``, or a
        ``results`` folder of them), such as ``reports``.
    say : callable

    Raises
    ------
    UsageError
        If there is no such release, or a file in it is no result.
    ExtractionError
        If the present data have errors.
    """
    from ketameta.analyses.run import run_analysis
    from ketameta.analyses.spec_file import load_specs
    from ketameta.inputs import InputTables, known_words, load_evidence

    folder = find_release(paths, release)
    published = read_results(folder)
    say("Reading and checking")
    evidence, _ = load_evidence(paths)
    specs = load_specs(paths.analyses, known_words(evidence), evidence.project)
    tables = InputTables(evidence)
    results: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    changes: list[AnalysisChange] = []
    added: list[str] = []
    same = 0
    for spec in specs:
        if spec.name not in published:
            added.append(spec.title)
            continue
        say(f"Computing {spec.name}")
        now = run_analysis(spec, tables.get(spec.assume), evidence)
        change = compare_results(published[spec.name], now)
        if change.is_changed:
            changes.append(change)
            results[spec.name] = (published[spec.name], now)
        else:
            same += 1
    names = {spec.name for spec in specs}
    removed = tuple(result["title"] for name, result in published.items() if name not in names)
    return Diff(str(release), tuple(changes), tuple(added), removed, same, results)


def find_release(paths: ProjectPaths, release: str | Path) -> Path:
    """Return the folder with the results files of a release.

    Raises
    ------
    UsageError
        If there is none; the message lists the releases.
    """
    releases = paths.reports / "releases"
    for base in (releases / release, Path(release), paths.root / release):
        for folder in (base / "results", base):
            if folder.is_dir() and any(folder.glob("*.json")):
                return folder
    known = sorted(item.name for item in releases.glob("*")) if releases.is_dir() else []
    listed = f"the releases are {', '.join(known)}" if known else "no release is published yet"
    raise UsageError(
        f"{release}: there are no results; {listed}, and any folder with results files will do, "
        f"such as reports{did_you_mean(str(release), known)}"
    )


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results of a folder by name.

    Raises
    ------
    UsageError
        With every file that is no result.
    """
    results: dict[str, dict[str, Any]] = {}
    problems = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problems.append(f"{path.name}: cannot be read as JSON ({error})")
            continue
        absent = [key for key in _NEEDED if not isinstance(result, dict) or key not in result]
        if absent:
            problems.append(f"{path.name}: is no result of an analysis; it lacks {absent[0]}")
        else:
            results[result["name"]] = result
    if problems:
        raise UsageError("\n".join(problems))
    return results
