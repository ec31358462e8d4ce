"""What went in and what came out, by SHA-256; the ZIP that builds it again; what changed."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

import ketameta
from ketameta.analyses.policy import bounds_words
from ketameta.analyses.result import AnalysisResult
from ketameta.analyses.sentences import written
from ketameta.errors import ReportError
from ketameta.evidence.project import FILE as PROJECT
from ketameta.evidence.tables import data_files, is_link
from ketameta.formatting import plural, trials_words
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths
from ketameta.report.provenance import studies_of

#: The manifest's own name, below ``reports/``.
MANIFEST = "manifest.json"


def input_files(paths: ProjectPaths) -> list[Path]:
    """Return every file the report is computed from, in a fixed order; no link.

    The last release is one of them, by its manifest: the page says what changed since.
    """
    own = [paths.root / "CITATION.cff", paths.root / PROJECT]
    others = [*own, *paths.analyses.glob("*.toml"), *paths.analyses.glob("text/*.md")]
    if is_link(paths.analyses):
        others = own
    return sorted(
        [
            *data_files(paths),
            *(path for path in others if path.is_file() and not is_link(path)),
            *last_release_files(paths)[:1],
        ]
    )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def code_hash(without: Container[str] = ()) -> str:
    """Return one hash of the package's own source, by which a build knows what is out of date.

    It is never published: code that changes no number changes no published file. ``without`` are
    files and folders directly below the package that are left out.
    """
    root = Path(ketameta.__file__).parent
    digest = hashlib.sha256()
    for path in code_files(root):
        name = path.relative_to(root)
        if name.parts[0] not in without:
            digest.update(name.as_posix().encode("utf-8"))
            digest.update(path.read_bytes())
    return digest.hexdigest()


def code_files(root: Path) -> list[Path]:
    """Return the files of a copy of the package: modules, templates, starter; no cache."""
    found = (path for path in root.rglob("*") if "__pycache__" not in path.parts)
    return sorted(path for path in found if path.is_file())


def manifest_text(
    paths: ProjectPaths, versions: Mapping[str, str], published: Iterable[str]
) -> str:
    """Return the manifest as JSON text; nothing in it depends on clock, host or folder.

    Parameters
    ----------
    paths : ProjectPaths
    versions : mapping
        Of the package and of those it computes with.
    published : iterable of str
        Names of the published files, below ``reports/``.
    """
    outputs = {f"reports/{name}": _hash_or_nothing(paths.reports / name) for name in published}
    return _json({**_inputs(paths, versions), "outputs": outputs})


def stated_outputs(paths: ProjectPaths) -> list[str]:
    """Return the names of the published files by the manifest, below ``reports/``; or none."""
    try:
        stated = json.loads((paths.reports / MANIFEST).read_text(encoding="utf-8"))
        return [str(name).removeprefix("reports/") for name in stated["outputs"]]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return []


def _hash_or_nothing(path: Path) -> str:
    return file_hash(path) if path.is_file() else "no such file"


def inputs_text(paths: ProjectPaths, versions: Mapping[str, str]) -> str:
    """Return the part of the manifest that is known before anything is written, as JSON text."""
    return _json(_inputs(paths, versions))


def _inputs(paths: ProjectPaths, versions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "inputs": {paths.relative(path): file_hash(path) for path in input_files(paths)},
        "versions": dict(versions),
    }


def _json(stated: dict[str, Any]) -> str:
    return json.dumps(stated, indent=1, sort_keys=True) + "\n"


def inputs_hash(paths: ProjectPaths) -> str:
    """Return one hash of all inputs: the data part of the report's stamp."""
    digest = hashlib.sha256()
    for path in input_files(paths):
        digest.update(paths.relative(path).encode("utf-8"))
        digest.update(path.read_bytes())
    return digest.hexdigest()


def results_text(results: Sequence[Mapping[str, Any]]) -> str:
    """Return every result by its name as one JSON text, as it is attached to the PDF."""
    return json.dumps(
        {result["name"]: result for result in results},
        ensure_ascii=False,
        allow_nan=False,
        sort_keys=True,
        separators=(",", ":"),
    )


def results_hash(results: Sequence[Mapping[str, Any]]) -> str:
    """Return one hash of all results: the other part of the report's stamp."""
    return text_hash(results_text(results))


#: What the ZIP is called in a release.
REPRODUCE = "reproduce.zip"
#: Files of the project's own folder that a build or its commands need, where they are there.
ROOT_FILES = (
    *("Makefile", "pyproject.toml", "constraints.txt", "LICENSE", "CITATION.cff"),
    "project.toml",
)
#: What goes with the data wherever they go.
_WITH_DATA = ("LICENSE.md", "README.md")
#: The oldest date a ZIP can hold; nothing here says anything of clocks.
_DATE = (1980, 1, 1, 0, 0, 0)
#: Folder inside the archive.
FOLDER = "ketameta"
_README = """# The report, to be built again

Everything the report is computed from: data, questions, code, and the versions of its packages.

    make report     build reports/ (needs Python 3.11 or newer and make; the first run installs)
    make check      say everything that is wrong in the extracted tables

The same inputs give the same bytes: compare reports/manifest.json with the published one.
"""


def reproduction_zip(paths: ProjectPaths) -> bytes:
    """Return one archive that builds the same report wherever it is unpacked.

    Parameters
    ----------
    paths : ProjectPaths
        Where data, analyses and the files of the project's folder are. The code is the package
        that runs.

    Notes
    -----
    Only declared inputs are packed, and no link is followed. What changed since the last release
    is said from its frozen results, so they are inside too. Nothing is compressed: programs that
    compress differ in their bytes.
    """
    files = {"README.md": _README.encode(), **dict(_contents(paths))}
    return packed({f"{FOLDER}/{name}": content for name, content in files.items()})


def packed(files: dict[str, bytes]) -> bytes:
    """Return files as a ZIP, in the order of their names, with one date and one kind of entry."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, content)
    return stream.getvalue()


def contents_hash(paths: ProjectPaths) -> str:
    """Return one hash of what the archive would hold: all that a report is made of."""
    digest = hashlib.sha256()
    for name, content in sorted(_contents(paths)):
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _contents(paths: ProjectPaths) -> Iterator[tuple[str, bytes]]:
    """Yield the name below the archive's folder and the bytes of every file."""
    code = Path(ketameta.__file__).parent
    for path in code_files(code):
        yield f"src/ketameta/{path.relative_to(code).as_posix()}", path.read_bytes()
    for path in source_files(paths):
        yield paths.relative(path), path.read_bytes()


def source_files(paths: ProjectPaths) -> list[Path]:
    """Return what a build elsewhere needs of a project: its inputs, and what goes with them."""
    beside = [
        *(paths.root / name for name in ROOT_FILES),
        *(paths.data / name for name in _WITH_DATA if not is_link(paths.data)),
    ]
    plain = [path for path in beside if path.is_file() and not is_link(path)]
    return sorted({*input_files(paths), *plain, *last_release_files(paths)})


#: The page that lists the releases, below ``reports/``, and what it offers of each figure.
INDEX = "releases/index.html"
PICTURES = ("png", "pdf")


# --- what changed since the last release ----------------------------------------------------------

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


class Changes(TypedDict):
    """The last release, if any, and what is different now: ``name``, ``title`` and ``words``."""

    version: str
    items: list[dict[str, str]]


def changes_since_release(paths: ProjectPaths, results: Mapping[str, Mapping[str, Any]]) -> Changes:
    """Return the last release and what is different now."""
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
    if not _alike(_led(before), _led(after)):
        parts.append(f"before {_state(before)}; now {_state(after)}")
    return "; ".join(parts)


def _studies(result: Mapping[str, Any]) -> set[str]:
    return set(studies_of(cast("AnalysisResult", result)))


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


def _led(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the headline that has an estimate; of releases without headlines, the pool."""
    led: Mapping[str, Any] | None = result.get("headline", result["pooled"])
    return led if led is not None and led.get("method", "pooled") else None


def _state(result: Mapping[str, Any]) -> str:
    if result["k"] == 0:
        return "no trial"
    # Releases before pooled reports were told apart know no number of them.
    trials = trials_words(result["k"], result.get("headline", {}).get("pools", 0))
    led = _led(result)
    if led is None:
        return trials
    measure = Measure(led.get("measure", result["measure"]))
    interval = bounds_words(led["ci_low"], led["ci_high"], measure)
    return f"{trials}, {written(led['estimate'], measure)} ({interval})"
