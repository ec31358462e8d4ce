"""What changed since the last release: analysis by analysis, from the frozen results."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ketameta.analyses.words import interval_words, written
from ketameta.errors import ReportError
from ketameta.formatting import plural
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths
from ketameta.report.provenance import studies_of

#: Versions are compared number by number.
_VERSION = re.compile(r"\d+(?:\.\d+)*")
#: Relative change of an estimate that counts as one; less is the last published digit, in which
#: another platform may differ.
_SAME = 1e-6


def releases(paths: ProjectPaths) -> list[str]:
    """Return the released versions, oldest first."""
    folder = paths.reports / "releases"
    found = [path.name for path in folder.glob("*") if (path / "manifest.json").is_file()]
    return sorted((name for name in found if _VERSION.fullmatch(name)), key=_order)


def last_release_files(paths: ProjectPaths) -> list[Path]:
    """Return what a build reads of the last release: its manifest and its results."""
    versions = releases(paths)
    if not versions:
        return []
    last = paths.reports / "releases" / versions[-1]
    return [last / "manifest.json", *sorted((last / "results").glob("*.json"))]


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def changes_since_release(
    paths: ProjectPaths, results: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the last release and what is different now.

    Returns
    -------
    dict
        ``version`` (``""`` when nothing has been released) and ``items`` (``name, title, words``).
    """
    versions = releases(paths)
    if not versions:
        return {"version": "", "items": []}
    before = frozen_results(paths, last_release_files(paths)[1:])
    return {"version": versions[-1], "items": result_changes(before, results)}


def frozen_results(paths: ProjectPaths, files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return the results of a release by their names.

    Raises
    ------
    ReportError
        If a file of the release is not what a release wrote.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in files:
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            _words(None, value)
            _studies(value)
            str(value["title"])
        except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
            raise ReportError(
                f"{paths.relative(path)}: this is not what the release wrote; a release is never "
                "changed, so put it back (with git: git checkout -- reports/releases)"
            ) from None
        found[path.stem] = value
    return found


def result_changes(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Return one entry per analysis whose trials or pooled numbers differ."""
    items = []
    for name in [*after, *(name for name in before if name not in after)]:
        words = _words(before.get(name), after.get(name))
        if words:
            title = (after.get(name) or before[name])["title"]
            items.append({"name": name if name in after else "", "title": title, "words": words})
    return items


def _words(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None and after is not None:
        return f"new: {_state(after)}"
    if after is None:
        return "no longer asked"
    assert before is not None
    if before["measure"] != after["measure"]:
        return f"measure changed; now {_state(after)}"
    old, new = _studies(before), _studies(after)
    parts = []
    if new - old:
        parts.append(f"{plural(len(new - old), 'trial')} added")
    if old - new:
        parts.append(f"{plural(len(old - new), 'trial')} removed")
    if not _alike(before["pooled"], after["pooled"]):
        parts.append(f"before {_state(before)}; now {_state(after)}")
    return "; ".join(parts)


def _studies(result: Mapping[str, Any]) -> set[str]:
    return set(studies_of(result))


def _alike(one: Mapping[str, Any] | None, two: Mapping[str, Any] | None) -> bool:
    if one is None or two is None:
        return one is two
    return all(
        one[key] == two[key]
        or (
            isinstance(one[key], float)
            and isinstance(two[key], float)
            and math.isclose(one[key], two[key], rel_tol=_SAME, abs_tol=1e-12)
        )
        for key in ("k", "estimate", "ci_low", "ci_high")
    )


def _state(result: Mapping[str, Any]) -> str:
    if result["k"] == 0:
        return "no trial"
    trials = plural(result["k"], "trial")
    pooled = result["pooled"]
    if pooled is None:
        return trials
    measure = Measure(result["measure"])
    interval = interval_words(pooled["ci_low"], pooled["ci_high"], measure)
    return f"{trials}, {written(pooled['estimate'], measure)} ({interval})"
